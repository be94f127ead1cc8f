"""PostgreSQL's statistics, renewed after much was stored at once: its own pace is too slow."""

from app.db.engine import Database
from app.db.months import analyze

_MUCH = 5_000


async def renew_statistics(database: Database, accepted: int) -> None:
    """Have reads planned by what is there now; a store that few events reached is left alone."""
    if accepted >= _MUCH:
        async with database.upkeep() as tx:
            await analyze(tx)
