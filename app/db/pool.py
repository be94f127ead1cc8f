"""The connection pool, with a bounded wait for a free connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from app.db.error_translation import StoreErrorTranslator
from app.db.local_settings import StoreTraits, select_is_distributed
from app.db.row_security import IS_BOUND_BY_POLICIES, select_role
from app.db.store_monitor import StoreMonitor
from app.domain.errors import ServiceBusy
from app.timeouts import CONNECT_SECONDS, CONNECTION_SECONDS


class ExecutedStatement(NamedTuple):
    """A statement that was executed, and how many rows it read or wrote."""

    text: str
    seconds: float
    rows: int
    ended_at_ns: int
    """Nanoseconds since 1970."""


class ConnectionPool:
    """Connections to one PostgreSQL database, at most `pool_size` of them.

    Attributes:
        in_use: How many connections are in use.
        waiting: How many requests wait for one.
        statement_listeners: Called after each statement that this process executed.
        read_observers: Called with the text and arguments of each read through the driver.
    """

    def __init__(self, url: str, *, pool_size: int, prepared_statements: bool) -> None:
        self._dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._statement_cache_size = 100 if prepared_statements else 0
        self._free = asyncio.Semaphore(pool_size)
        self.pool_size, self.in_use, self.waiting = pool_size, 0, 0
        self._traits: StoreTraits | None = None
        self._may_read_as_owner: bool | None = None
        self.statement_listeners: list[Callable[[ExecutedStatement], None]] = []
        self.read_observers: list[Callable[[str, Sequence[Any]], None]] = []
        self._engine = create_async_engine(
            f"postgresql+asyncpg://?prepared_statement_cache_size={self._statement_cache_size}",
            async_creator=self._connect,
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # Errors are logged, and parameters are names and emails.
        )
        event.listen(self._engine.sync_engine, "checkout", _reject_closed_connection)
        event.listen(self._engine.sync_engine, "before_cursor_execute", _record_start)
        event.listen(self._engine.sync_engine, "after_cursor_execute", self._record_end)
        self._connections: set[asyncpg.Connection] = set()
        self._logins: set[asyncio.Task[asyncpg.Connection]] = set()
        self.monitor = StoreMonitor(self._login, self._drop_connections)

    @property
    def url(self) -> str:
        """The URL for asyncpg. It may contain a password."""
        return self._dsn

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for code that observes statements."""
        return self._engine

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def check_login(self) -> None:
        """Log in and disconnect.

        Raises:
            Exception: One of `DRIVER_ERRORS`, as the driver raised it.
        """
        connection = await self._login()
        await connection.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection for the length of the block.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: The store monitor found PostgreSQL down.
        """
        async with self._reserve(), self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def driver_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Take a connection as the driver's own, outside of a transaction; see `connection`.

        It costs a fraction of SQLAlchemy's connection, which the hot path does not need.
        """
        async with self._reserve():
            pooled = await self._engine.raw_connection()
            try:
                yield cast("asyncpg.Connection", pooled.driver_connection)
            finally:
                await greenlet_spawn(pooled.close)

    @asynccontextmanager
    async def _reserve(self) -> AsyncIterator[None]:
        """Wait until a connection is free, and hold it for the length of the block."""
        self.monitor.raise_if_down()
        await self._wait_for_connection()
        self.in_use += 1
        try:
            self.monitor.raise_if_down()  # The store may have gone down during the wait.
            yield
        finally:
            self.in_use -= 1
            self._free.release()

    async def _wait_for_connection(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise ServiceBusy from None
        finally:
            self.waiting -= 1

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction; commit at the end of the block, or roll back on an error."""
        with StoreErrorTranslator():
            async with self.connection() as connection, connection.begin():
                yield connection

    async def traits(self) -> StoreTraits:
        """Return what this process must know about the store; ask on the first call only."""
        if self._traits is None:
            async with self.begin() as connection:
                role = await select_role(connection)
                self._traits = StoreTraits(role, await select_is_distributed(connection))
        return self._traits

    async def may_read_as_owner(self, connection: asyncpg.Connection) -> bool:
        """Return whether single statements outside of a transaction work and see all rows.

        Ask PostgreSQL on the first call only.
        """
        if self._may_read_as_owner is None:
            is_bound = await connection.fetchval(IS_BOUND_BY_POLICIES)
            self._may_read_as_owner = self._statement_cache_size > 0 and not is_bound
        return self._may_read_as_owner

    @property
    def has_spare_connection(self) -> bool:
        """Whether a connection is free and at most half of the pool is in use."""
        return not self._free.locked() and self.in_use <= self.pool_size // 2

    def record_statement(self, text: str, seconds: float, rows: int) -> None:
        """Notify the listeners of a statement that has just ended."""
        self.notify_listeners(ExecutedStatement(text, seconds, rows, time.time_ns()))

    def record_read(self, text: str, arguments: Sequence[Any], seconds: float, rows: int) -> None:
        """Notify listeners and observers of a statement that the driver has just executed."""
        self.record_statement(text, seconds, rows)
        for observe in self.read_observers:
            observe(text, arguments)

    def notify_listeners(self, statement: ExecutedStatement) -> None:
        """Notify the listeners of a statement, also one that another process executed."""
        for listener in self.statement_listeners:
            listener(statement)

    def _record_end(self, connection: Connection, cursor: Any, text: str, *_: object) -> None:
        seconds = time.perf_counter() - connection.info["started_at"]
        self.record_statement(text, seconds, max(cursor.rowcount, 0))

    async def _connect(self) -> asyncpg.Connection:
        login = asyncio.create_task(self._login())
        self._logins.add(login)
        login.add_done_callback(self._logins.discard)
        try:
            connection = await login
        except asyncio.CancelledError:
            if _is_current_task_cancelled():
                raise
            raise ConnectionError("PostgreSQL went down during the login.") from None
        self._connections.add(connection)
        connection.add_termination_listener(self._connections.discard)
        return connection

    async def _login(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            statement_cache_size=self._statement_cache_size,
            server_settings={"application_name": "chargeback", "timezone": "UTC"},
        )

    def _drop_connections(self) -> None:
        """End every wait on PostgreSQL at once: cancel logins and terminate connections."""
        for login in list(self._logins):
            login.cancel()
        for connection in list(self._connections):
            connection.terminate()


def _is_current_task_cancelled() -> bool:
    """Whether the running task was cancelled, and not only the task that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _record_start(connection: Connection, *_: object) -> None:
    connection.info["started_at"] = time.perf_counter()


def _reject_closed_connection(connection: Any, *_: object) -> None:
    """Do not hand out a connection that the server closed. Unlike a ping, this sends nothing."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("The server closed the connection.")
