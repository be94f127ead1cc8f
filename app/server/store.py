"""Open the store for commands and the service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from app.clock import Clock, system_clock
from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.postgres.database import open_database
from app.postgres.free_space import create_reserve
from app.server.process_tuning import tune_gc
from app.services.organizations import ensure_default_organization
from app.services.retention import prepare_partitions
from app.settings import Settings

T = TypeVar("T")
_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_store(settings: Settings, data_dir: Path, clock: Clock) -> AsyncIterator[Database]:
    """Open the store of the settings, with its default organization and current partitions."""
    async with open_database(
        settings.database_url,
        data_dir / "postgres",
        pool_size=settings.database_pool_size,
        shared_snapshots=settings.database_shared_snapshots,
        prepared_statements=settings.database_prepared_statements,
    ) as database:
        if settings.database_url is None:
            database.require_free_space = create_reserve(data_dir, settings.free_space_reserve_mb)
        try:
            await ensure_default_organization(database, clock())
            await prepare_partitions(database, clock())
        except StoreUnavailable:
            _log.warning("A node of the store cannot be reached.")  # Others may serve meanwhile.
        yield database


def run_with_store(
    data_dir: Path, env_file: Path | None, command: Callable[[Database, Settings], Awaitable[T]]
) -> T:
    """Open the store and run a command on it. A service may use the store at the same time."""
    settings = Settings.load(env_file)
    tune_gc()

    async def run() -> T:
        async with open_store(settings, data_dir, system_clock) as database:
            return await command(database, settings)

    return asyncio.run(run())
