"""Retention of usage events: archive and drop them, one partition year at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from app.db.engine import Database
from app.db.partitions import (
    archive_usage_of_year,
    create_usage_partitions,
    lock_partitions,
    select_usage_years,
)

MIN_RETENTION_DAYS = 400
"""Duplicates of usage events are recognized for at least this long."""


class PrunedYear(NamedTuple):
    """A partition year whose usage events were archived and dropped."""

    year: int
    event_count: int


async def prepare_partitions(database: Database, now: datetime) -> None:
    """Create the partitions for the usage events of this year and the next."""
    async with database.owner_transaction() as tx:
        await lock_partitions(tx)
        await create_usage_partitions(tx, now)


async def prune_events(
    database: Database, *, after_days: int, now: datetime
) -> Sequence[PrunedYear]:
    """Archive and drop the usage events of each year that ended long enough ago.

    Reports, verification and reopened months give the same figures as before. Several processes
    may run this at the same time; each year is archived once.

    Args:
        database: The store.
        after_days: How many days ago a year must have ended.
        now: The current time.
    """
    before_year = (now - timedelta(days=after_days)).astimezone(UTC).year
    pruned = []
    async with database.owner_transaction() as tx:
        years = await select_usage_years(tx, before_year)
    for year in years:
        async with database.owner_transaction() as tx:
            await lock_partitions(tx)
            if year in await select_usage_years(tx, before_year):
                pruned.append(PrunedYear(year, await archive_usage_of_year(tx, year)))
    return pruned
