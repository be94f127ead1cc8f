"""Connections to the store: `transaction()` to write, `snapshot()` to read."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import Executable, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.domain.errors import InvalidArgument, StoreUnavailable

Transaction = AsyncConnection
"""What commands hand down: an open transaction, theirs to commit."""

_AWAY = (OSError, TimeoutError, PoolTimeout, asyncpg.PostgresConnectionError)
# SQLSTATE classes of a server that cannot serve at the moment: connection exceptions, too many
# connections and other shortages, shutdown and start-up.
_AWAY_STATES = ("08", "53", "57P", "58")
# Data exceptions: U+0000 in a text, half a surrogate pair, a sum beyond 64 bits.
_BAD_VALUE = "22"


class Database:
    """A PostgreSQL database, of which a few connections are kept open.

    Args:
        url: A libpq URI, with every option that asyncpg understands (`sslmode`, several hosts).
        connections: How many connections at the most.
        shared_snapshots: Whether siblings of one request may read side by side, in one instant,
            through an exported snapshot. False where a pooler or Citus stands between.
        prepared_statements: False behind a pooler in transaction mode.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 10,
        shared_snapshots: bool = True,
        prepared_statements: bool = True,
    ) -> None:
        self._dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._cached_statements = 100 if prepared_statements else 0
        self._free = asyncio.Semaphore(connections)
        self.shared_snapshots = shared_snapshots
        self._engine = create_async_engine(
            f"postgresql+asyncpg://?prepared_statement_cache_size={self._cached_statements}",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
        )

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            self._dsn,
            timeout=5,
            statement_cache_size=self._cached_statements,
            server_settings={"application_name": "chargeback", "timezone": "UTC"},
        )

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for those who observe statements."""
        return self._engine

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: commits at the end of the block, or leaves nothing behind.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        with _StoreErrors():
            async with self.connection() as connection, connection.begin():
                yield connection

    @property
    def has_spare(self) -> bool:
        """Whether one more connection can be had at once."""
        return not self._free.locked()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for the length of a block; waits in line for it, but not for ever."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._free.acquire()
        try:
            async with self._engine.connect() as connection:
                yield connection
        finally:
            self._free.release()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Snapshot"]:
        """One instant of the store, read-only.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with AsyncExitStack() as stack:
            yield Snapshot(self, stack)


class Snapshot:
    """Reads of one request: all of them see the store as it was at the first.

    A connection serves one statement at a time. A statement that comes while another runs gets a
    connection of its own, which joins the same instant; or it waits, where that is switched off
    or no connection is free. Nobody waits for a second connection while holding one.
    """

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self._database = database
        self._stack = stack
        self._opening = asyncio.Lock()
        self._idle: asyncio.Queue[AsyncConnection] = asyncio.Queue()
        self._opened = 0
        self._exported: str | None = None

    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """All rows of a statement."""
        with _StoreErrors():
            connection = await self._take()
            try:
                return (await connection.execute(statement, parameters)).all()
            finally:
                self._idle.put_nowait(connection)

    async def _take(self) -> AsyncConnection:
        async with self._opening:
            if not self._idle.empty() or not self._may_open:
                return await self._idle.get()
            connection = await self._open()
            self._opened += 1
            return connection

    @property
    def _may_open(self) -> bool:
        if self._opened == 0:
            return True
        return (
            self._database.shared_snapshots
            and self._opened < _SIDE_BY_SIDE
            and self._database.has_spare
        )

    async def _open(self) -> AsyncConnection:
        connection = await self._stack.enter_async_context(self._database.connection())
        await connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        if self._exported is not None:
            await connection.execute(text(f"SET TRANSACTION SNAPSHOT '{self._exported}'"))
        elif self._database.shared_snapshots:
            exported = await connection.execute(text("SELECT pg_export_snapshot()"))
            self._exported = exported.scalar_one()
        return connection


_PATIENCE_SECONDS = 10
_SIDE_BY_SIDE = 2
"""Connections that one request may use: members and projects of a level are read together."""


class _StoreErrors:
    """Turns what the store cannot do into the error that says so."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, _AWAY) or (isinstance(error, DBAPIError) and _is_away(error)):
            raise StoreUnavailable from error
        if isinstance(error, DBAPIError) and _state(error).startswith(_BAD_VALUE):
            reason = str(error.orig).rpartition(": ")[2]
            raise InvalidArgument(f"A value cannot be stored or compared: {reason}.") from error


def _is_away(error: DBAPIError) -> bool:
    return error.connection_invalidated or _state(error).startswith(_AWAY_STATES)


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
