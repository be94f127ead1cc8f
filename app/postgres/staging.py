"""Replace a store in one step: fill a schema beside it, verify that schema, and swap them.

The store does not change before the swap, which is one transaction. A restore that is killed
leaves at most the staging schema, and the next process that opens the store drops it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from app.db.migrations import LOCK
from app.db.staging_schema import STAGING_SCHEMA
from app.db.tables import Base
from app.domain.errors import ChargebackError, StoreUnavailable
from app.postgres.dumps import copy_store, load_dump

_VERSION_TABLE = "alembic_version"
_LOCK_TIMEOUT = "5s"
_DROP_STAGING = f"DROP SCHEMA IF EXISTS {STAGING_SCHEMA} CASCADE"
# A dump names the schema that it recreates. So the store steps aside while psql runs, within
# psql's transaction.
_STEP_ASIDE = "ALTER SCHEMA {schema} RENAME TO chargeback_aside;\nCREATE SCHEMA {schema}"
_STEP_BACK = f"""ALTER SCHEMA {{schema}} RENAME TO {STAGING_SCHEMA};
ALTER SCHEMA chargeback_aside RENAME TO {{schema}};
GRANT USAGE ON SCHEMA {STAGING_SCHEMA} TO PUBLIC"""
_TABLES = """
    SELECT relname AS name, quote_ident(relname) AS quoted,
           EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid
                   AND attname = 'organization_id' AND NOT attisdropped) AS has_organization
    FROM pg_class
    WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')
"""
_FUNCTIONS = """
    SELECT format('%I(%s)', proname, pg_get_function_identity_arguments(oid))
    FROM pg_proc WHERE pronamespace = to_regnamespace($1)
"""


class StoreInUse(ChargebackError):
    """Other connections, tables or views use a store that must be replaced or moved."""

    code, status = "STORE_IN_USE", 409


class StoreNotEmpty(ChargebackError):
    """The store to replace contains events, or the backup file exists."""

    code, status = "STORE_NOT_EMPTY", 409


class StoreDistributed(ChargebackError):
    """`backup`, `restore` and `db move` work on a store of one server."""

    code, status = "STORE_DISTRIBUTED", 409

    def __init__(self) -> None:
        super().__init__(
            "The store is distributed over the nodes of Citus. Back up each node with "
            "PostgreSQL's own means."
        )


class Staging(NamedTuple):
    """The schema beside a store. `url` opens it as if it were the store."""

    url: str
    store_url: str
    store_schema: str

    async def load(self, file: Path, programs: Path | None) -> None:
        """Fill the schema from a backup.

        Raises:
            DumpFailed: A program failed.
        """
        await load_dump(self.store_url, file, programs, head=self._head, tail=self._tail)

    async def copy(self, source: str, programs: Path | None) -> None:
        """Fill the schema from another store.

        Raises:
            DumpFailed: A program failed.
        """
        await copy_store(source, self.store_url, programs, head=self._head, tail=self._tail)

    @property
    def _head(self) -> str:
        return _STEP_ASIDE.format(schema=self.store_schema)

    @property
    def _tail(self) -> str:
        return _STEP_BACK.format(schema=self.store_schema)


@asynccontextmanager
async def replace_store(url: str, *, may_drop_events: bool) -> AsyncIterator[Staging]:
    """Replace a store by the staging schema that the block fills and verifies.

    If the block fails, the store stays as it was. A service that starts meanwhile waits for the
    migration lock.

    Raises:
        StoreInUse: Other connections are open, or the tables belong to something else.
        StoreNotEmpty: The store contains events, and they may not be dropped.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
        await connection.execute(_DROP_STAGING)
        schema = await connection.fetchval("SELECT quote_ident(current_schema())")
        await _list_tables(connection)
        await _require_unused(connection, may_drop_events=may_drop_events)
        try:
            yield Staging(_with_search_path(url), url, schema)
            await _swap(connection, schema, may_drop_events=may_drop_events)
        except BaseException:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute(_DROP_STAGING)  # Otherwise the next opening drops it.
            raise
    finally:
        await connection.close()


async def _list_tables(connection: asyncpg.Connection) -> Sequence[str]:
    """Return the quoted names of the store's tables; reject those of another application."""
    names = {*Base.metadata.tables, _VERSION_TABLE}
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    found = [row for row in await connection.fetch(_TABLES, schema) if row["name"] in names]
    is_store = any(row["has_organization"] for row in found)
    for row in found:
        if not row["has_organization"] and not (is_store and row["name"] == _VERSION_TABLE):
            raise StoreInUse(
                f"The table {row['quoted']} belongs to another application. Use a database that "
                "only this service uses."
            )
    return [row["quoted"] for row in found]


async def _require_unused(connection: asyncpg.Connection, *, may_drop_events: bool) -> None:
    await _require_exclusive_access(connection)
    if may_drop_events or not await connection.fetchval("SELECT to_regclass('event')"):
        return
    await connection.execute("SET chargeback.mode = 'maintenance'")
    if await connection.fetchval("SELECT EXISTS (SELECT FROM event)"):
        raise StoreNotEmpty("The store contains events.")


async def _swap(connection: asyncpg.Connection, schema: str, *, may_drop_events: bool) -> None:
    """Drop the store's tables and put the staged ones in their place, in one transaction."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            old = ", ".join(await _list_tables(connection))
            if old:
                await connection.execute(f"LOCK TABLE {old} IN ACCESS EXCLUSIVE MODE")
            await _require_unused(connection, may_drop_events=may_drop_events)
            if old:
                await connection.execute(f"DROP TABLE {old}")
            await _move_staged_objects(connection, schema)
            await connection.execute(f"DROP SCHEMA {STAGING_SCHEMA}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise StoreInUse(
            f"Objects of another application depend on the store: {error.detail}. Drop them first."
        ) from None
    except asyncpg.LockNotAvailableError:
        message = f"A table of the store was in use for longer than {_LOCK_TIMEOUT}."
        raise StoreInUse(message) from None


async def _move_staged_objects(connection: asyncpg.Connection, schema: str) -> None:
    for (function,) in await connection.fetch(_FUNCTIONS, STAGING_SCHEMA):
        await connection.execute(f"DROP FUNCTION IF EXISTS {schema}.{function}")
        await connection.execute(f"ALTER FUNCTION {STAGING_SCHEMA}.{function} SET SCHEMA {schema}")
    for table in await connection.fetch(_TABLES, STAGING_SCHEMA):
        await connection.execute(
            f"ALTER TABLE {STAGING_SCHEMA}.{table['quoted']} SET SCHEMA {schema}"
        )


async def require_exclusive_access(url: str) -> None:
    """Reject a store that a service or another command is connected to.

    Raises:
        StoreInUse: Other connections are open.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connect(url)
    try:
        await _require_exclusive_access(connection)
    finally:
        await connection.close()


async def require_one_server(url: str) -> None:
    """Reject a store that is distributed over the nodes of Citus.

    PostgreSQL's programs would dump it empty: the coordinator does not tell the nodes that they
    may read all rows.

    Raises:
        StoreDistributed: The store is distributed.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('pg_dist_partition')"):
            is_distributed = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE partmethod = 'h')"
            )
            if is_distributed:
                raise StoreDistributed
    finally:
        await connection.close()


async def _require_exclusive_access(connection: asyncpg.Connection) -> None:
    others = await connection.fetchval("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'
          AND application_name NOT LIKE 'citus_internal %'
    """)
    if others:
        raise StoreInUse(
            f"The store has {others} other connections. First stop the service and all other "
            "commands that use it."
        )


async def select_row_counts(url: str) -> Mapping[str, int]:
    """Return the number of rows of each table by name, of a partitioned table in total."""
    connection = await _connect(url)
    try:
        tables = await connection.fetch("""
            SELECT quote_ident(relname) FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace
              AND relkind IN ('r', 'p') AND NOT relispartition
        """)
        await connection.execute("SET chargeback.mode = 'maintenance'")
        return {
            name: await connection.fetchval(f"SELECT count(*) FROM {name}") for (name,) in tables
        }
    finally:
        await connection.close()


def _with_search_path(url: str) -> str:
    """Return a URL for asyncpg that opens the staging schema."""
    parts = urlsplit(url)
    options = [*parse_qsl(parts.query), ("search_path", STAGING_SCHEMA)]
    return urlunsplit(parts._replace(query=urlencode(options)))


async def _connect(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=5, server_settings={"timezone": "UTC"})
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from None
