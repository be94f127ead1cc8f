"""Opening the store: the server of DATABASE_URL, or the embedded one, migrated to this version."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app.db.engine import Database
from app.db.error_translation import DRIVER_ERRORS
from app.db.migrations import upgrade
from app.domain.errors import StoreUnavailable
from app.postgres.embedded import EmbeddedPostgres

_NAME = "chargeback"


@asynccontextmanager
async def open_database(
    url: str | None,
    folder: Path,
    *,
    pool_size: int = 10,
    shared_snapshots: bool = True,
    prepared_statements: bool = True,
) -> AsyncIterator[Database]:
    """The store, for as long as the block lasts.

    Args:
        url: A PostgreSQL; None runs the embedded one in `folder`, or joins the process that does.
        folder: Where the embedded PostgreSQL keeps its files.
        pool_size: As for `Database`.
        shared_snapshots: As for `Database`.
        prepared_statements: As for `Database`.

    Raises:
        EmbeddedPostgresError: The embedded PostgreSQL cannot run here.
        StoreUnavailable: The server of `url` cannot be reached.
    """
    async with AsyncExitStack() as stack:
        database = Database(
            await stack.enter_async_context(resolve_store_url(url, folder)),
            pool_size=pool_size,
            shared_snapshots=shared_snapshots,
            prepared_statements=prepared_statements,
        )
        stack.push_async_callback(database.close)
        await _greet(database)
        async with database.owner_transaction() as tx:
            await upgrade(tx)
        yield database


async def _greet(database: Database) -> None:
    """Log in once: whoever starts the service may read why that fails, a client may not."""
    try:
        await database.check_login()
    except DRIVER_ERRORS as error:
        reason = str(error) or "no answer in time"
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {reason}.") from None


@asynccontextmanager
async def resolve_store_url(url: str | None, folder: Path) -> AsyncIterator[str]:
    """The URL of the store, as `open_database` finds it, for as long as the block lasts.

    Raises:
        EmbeddedPostgresError: The embedded PostgreSQL cannot run here.
    """
    if url is not None:
        yield url
        return
    async with EmbeddedPostgres(folder) as server:
        yield await _embedded(server)


async def _embedded(server: EmbeddedPostgres) -> str:
    """The service's own database on the embedded server, created when it is new."""
    connection = await asyncpg.connect(server.url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _NAME):
            await connection.execute(f"CREATE DATABASE {_NAME}")
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # Another process that started with us was first, perhaps by a hair.
    finally:
        await connection.close()
    return with_database_name(server.url, _NAME)


def with_database_name(url: str, name: str) -> str:
    """The same server's database of another name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))
