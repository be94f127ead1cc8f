"""Open the database of DATABASE_URL or of the embedded server, upgraded to this release."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.error_translation import DRIVER_ERRORS, STANDBY_DETECTED
from app.db.migrations import upgrade
from app.domain.errors import StoreUnavailable
from app.postgres.embedded import EmbeddedPostgres

_DATABASE_NAME = "chargeback"


@asynccontextmanager
async def open_database(
    url: str | None,
    folder: Path,
    *,
    pool_size: int = 10,
    shared_snapshots: bool = True,
    prepared_statements: bool = True,
) -> AsyncIterator[Database]:
    """Open the store for the length of the block.

    Args:
        url: A PostgreSQL URL; None starts the embedded server or attaches to a running one.
        folder: The folder of the embedded server.
        pool_size: As for `Database`.
        shared_snapshots: As for `Database`.
        prepared_statements: As for `Database`.

    Raises:
        EmbeddedPostgresError: The embedded PostgreSQL cannot run here.
        StoreUnavailable: The server of `url` cannot be reached, or is a standby.
    """
    async with AsyncExitStack() as stack:
        database = Database(
            await stack.enter_async_context(resolve_store_url(url, folder)),
            pool_size=pool_size,
            shared_snapshots=shared_snapshots,
            prepared_statements=prepared_statements,
        )
        stack.push_async_callback(database.close)
        await _check_login(database)
        async with database.owner_transaction() as tx:
            await _require_primary(tx)
            await upgrade(tx)
        yield database


async def _require_primary(tx: AsyncConnection) -> None:
    if (await tx.execute(text("SELECT pg_is_in_recovery()"))).scalar_one():
        raise StoreUnavailable(STANDBY_DETECTED)


async def _check_login(database: Database) -> None:
    """Log in once, to show the admin the reason of a failure. Clients must not see it."""
    try:
        await database.check_login()
    except DRIVER_ERRORS as error:
        reason = str(error) or "no response in time"
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {reason}.") from None


@asynccontextmanager
async def resolve_store_url(url: str | None, folder: Path) -> AsyncIterator[str]:
    """Return the URL of the store; keep the embedded server running during the block.

    Raises:
        EmbeddedPostgresError: The embedded PostgreSQL cannot run here.
    """
    if url is not None:
        yield url
        return
    async with EmbeddedPostgres(folder) as server:
        yield await _ensure_database(server)


async def _ensure_database(server: EmbeddedPostgres) -> str:
    """Create the service's database if it is missing; return its URL."""
    connection = await asyncpg.connect(server.url)
    try:
        if not await connection.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE_NAME
        ):
            await connection.execute(f"CREATE DATABASE {_DATABASE_NAME}")
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # Another process created it at the same time.
    finally:
        await connection.close()
    return with_database_name(server.url, _DATABASE_NAME)


def with_database_name(url: str, name: str) -> str:
    """Return the URL with another database name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))
