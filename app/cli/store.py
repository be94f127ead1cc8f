"""The store, as commands open it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.db.engine import Database
from app.db.store import open_store
from app.settings import Settings
from resolvers.context import Clock
from resolvers.organizations import ensure_default_organization


@asynccontextmanager
async def opened(settings: Settings, data_dir: Path, clock: Clock) -> AsyncIterator[Database]:
    """The store that the settings name, with its first organization."""
    async with open_store(
        settings.database_url,
        data_dir / "postgres",
        connections=settings.database_connections,
        shared_snapshots=settings.database_shared_snapshots,
        prepared_statements=settings.database_prepared_statements,
    ) as database:
        await ensure_default_organization(database, clock())
        yield database
