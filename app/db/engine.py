"""Connections to the store: `transaction()` to write, `snapshot()` to read.

Both see the rows of the organization that they name, and no others (`app/db/row_security.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Connection, TextClause, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.db.error_translation import StoreErrors
from app.db.row_security import SCOPE, owner_scope, scope, select_role
from app.db.snapshot import STATEMENT_SECONDS, Snapshot
from app.db.store_monitor import StoreMonitor
from app.domain.errors import ServiceBusy

Transaction = AsyncConnection
"""What commands hand down: an open transaction, theirs to commit."""


class Executed(NamedTuple):
    """A statement that was executed: its text, and how many rows it read or wrote."""

    text: str
    seconds: float
    rows: int
    ended_at_ns: int
    """Nanoseconds since 1970."""


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
        self.connections, self.in_use, self.waiting = connections, 0, 0
        self._role: str | None = None
        self.observers: list[Callable[[str, Sequence[Any]], None]] = []
        """Called with the text and the arguments of each statement that a snapshot reads by."""
        self.shared_snapshots = shared_snapshots
        self._engine = create_async_engine(
            f"postgresql+asyncpg://?prepared_statement_cache_size={self._cached_statements}",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
        )
        self.watchers: list[Callable[[Executed], None]] = []
        event.listen(self._engine.sync_engine, "checkout", _refuse_broken)
        event.listen(self._engine.sync_engine, "before_cursor_execute", _note_begin)
        event.listen(self._engine.sync_engine, "after_cursor_execute", self._note_end)
        self._opened: set[asyncpg.Connection] = set()
        self._logins: set[asyncio.Task[asyncpg.Connection]] = set()
        self.pulse = StoreMonitor(self._login, self._drop_all)

    async def _connect(self) -> asyncpg.Connection:
        login = asyncio.create_task(self._login())
        self._logins.add(login)
        login.add_done_callback(self._logins.discard)
        try:
            connection = await login
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise ConnectionError("The store went away.") from None
        self._opened.add(connection)
        connection.add_termination_listener(self._opened.discard)
        return connection

    async def _login(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_SECONDS,
            statement_cache_size=self._cached_statements,
            server_settings={"application_name": "chargeback", "timezone": "UTC"},
        )

    @property
    def url(self) -> str:
        """As the driver takes it, for whoever else shall open it; it may hold a password."""
        return self._dsn

    async def check_login(self) -> None:
        """Log in and leave; the errors are the driver's own."""
        connection = await self._login()
        await connection.close()

    def _drop_all(self) -> None:
        """Whoever waits on a connection to a store that is away learns it at once."""
        for login in list(self._logins):
            login.cancel()
        for connection in list(self._opened):
            connection.terminate()

    def note(self, text: str, seconds: float, rows: int) -> None:
        """Tell the watchers of a statement that has just ended."""
        self.tell(Executed(text, seconds, rows, time.time_ns()))

    def tell(self, executed: Executed) -> None:
        """Tell the watchers of a statement, whoever executed it."""
        for watch in self.watchers:
            watch(executed)

    def _note_end(self, connection: Connection, cursor: Any, text: str, *_: object) -> None:
        seconds = time.perf_counter() - connection.info["began_at"]
        self.note(text, seconds, max(cursor.rowcount, 0))

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for those who observe statements."""
        return self._engine

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    def transaction(self, organization_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        """One transaction on the rows of one organization.

        It commits at the end of the block, or leaves nothing behind.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        return self._limited(_SCOPE, organization_id)

    def unscoped_read(self) -> AbstractAsyncContextManager[Transaction]:
        """Reads what must be known before anybody is: all organizations, keys, accounts.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        return self._limited(_SCOPE_IN_TIME, None)

    @asynccontextmanager
    async def owner_transaction(self) -> AsyncIterator[Transaction]:
        """A transaction of the tables' owner, for migrations: it sees all rows.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with self._begun() as connection:
            await connection.execute(_SCOPE, owner_scope())
            yield connection

    @asynccontextmanager
    async def _limited(
        self, command: TextClause, organization_id: UUID | None
    ) -> AsyncIterator[Transaction]:
        bound = scope(await self.role(), organization_id)
        async with self._begun() as connection:
            await connection.execute(command, bound)
            yield connection

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        with StoreErrors():
            async with self.connection() as connection, connection.begin():
                yield connection

    async def role(self) -> str:
        """What transactions work as on this store, which is asked once."""
        if self._role is None:
            async with self._begun() as connection:
                self._role = await select_role(connection)
        return self._role

    @property
    def has_spare(self) -> bool:
        """Whether one more connection can be had, and others still have half of them."""
        return not self._free.locked() and self.in_use <= self.connections // 2

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for the length of a block; waits in line for it, but not for ever."""
        self.pulse.insist()
        await self._wait_in_line()
        self.in_use += 1
        try:
            self.pulse.insist()  # It may have been lost meanwhile, with many waiting in line.
            async with self._engine.connect() as connection:
                yield connection
        finally:
            self.in_use -= 1
            self._free.release()

    async def _wait_in_line(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise ServiceBusy from None
        finally:
            self.waiting -= 1

    @asynccontextmanager
    async def snapshot(self, organization_id: UUID | None) -> AsyncIterator[Snapshot]:
        """One instant of an organization's rows, or of what signing in reads, read-only.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        stack = AsyncExitStack()
        snapshot = Snapshot(self, stack, organization_id)
        try:
            yield snapshot
        finally:
            with StoreErrors():  # The caller's own errors pass as they are.
                async with stack:
                    await snapshot.stop_reading()


_PATIENCE_SECONDS = 4
"""Clients listen for 10 s, and a request waits twice: to be let in, and to read. When the store
goes away the pulse ends all waiting, in line too."""
_CONNECT_SECONDS = 5
_SCOPE = text(f"SELECT {SCOPE}")
# The time-out is the transaction's, not the session's, which a pooler would refuse.
_SCOPE_IN_TIME = text(
    f"SELECT {SCOPE}, set_config('statement_timeout', '{STATEMENT_SECONDS}s', true)"
)


def _is_cancelled() -> bool:
    """Whether it is the running task that was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note_begin(connection: Connection, *_: object) -> None:
    connection.info["began_at"] = time.perf_counter()


def _refuse_broken(connection: Any, *_: object) -> None:
    """Not to hand out a connection that its server has closed; asks nobody, unlike a ping."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("The server closed the connection.")
