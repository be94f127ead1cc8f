"""Connections to the store: `transaction()` to write, `snapshot()` to read.

Both see the rows of the organization that they name, and no others (`app/db/islands.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Executable, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.db.islands import SCOPE, owner_scope, scope, select_role
from app.db.pulse import Pulse
from app.domain.errors import (
    Forbidden,
    InvalidArgument,
    StatementCancelled,
    StoreUnavailable,
)

Transaction = AsyncConnection
"""What commands hand down: an open transaction, theirs to commit."""

_AWAY = (
    OSError,
    TimeoutError,
    PoolTimeout,
    PendingRollbackError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
# SQLSTATE classes of a server that cannot serve at the moment: connection exceptions, too many
# connections and other shortages, shutdown and start-up; and whatever follows in a transaction
# in which a statement failed for one of these reasons.
_AWAY_STATES = ("08", "53", "57P", "58", "25P02")
_CANCELLED = "57014"
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
        self._role: str | None = None
        self.shared_snapshots = shared_snapshots
        self._engine = create_async_engine(
            f"postgresql+asyncpg://?prepared_statement_cache_size={self._cached_statements}",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_broken)
        self._opened: set[asyncpg.Connection] = set()
        self.pulse = Pulse(self._login, self._drop_all)

    async def _connect(self) -> asyncpg.Connection:
        connection = await self._login()
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

    def _drop_all(self) -> None:
        """Whoever waits on a connection to a store that is away learns it at once."""
        for connection in list(self._opened):
            connection.terminate()

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for those who observe statements."""
        return self._engine

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, organization_id: UUID) -> AsyncIterator[Transaction]:
        """One transaction on the rows of one organization.

        It commits at the end of the block, or leaves nothing behind.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with self._begun() as connection:
            await connection.execute(_SCOPE, await self.scope(connection, organization_id))
            yield connection

    @asynccontextmanager
    async def sign_in(self) -> AsyncIterator[Transaction]:
        """Reads what must be known before anybody is: all organizations, keys, accounts.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with self._begun() as connection:
            await connection.execute(_SCOPE_IN_TIME, await self.scope(connection, None))
            yield connection

    @asynccontextmanager
    async def upkeep(self) -> AsyncIterator[Transaction]:
        """A transaction of the tables' owner, for migrations: it sees all rows.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with self._begun() as connection:
            await connection.execute(_SCOPE, owner_scope())
            yield connection

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        with _StoreErrors():
            async with self.connection() as connection, connection.begin():
                yield connection

    async def scope(
        self, connection: AsyncConnection, organization_id: UUID | None
    ) -> Mapping[str, str]:
        """What `SCOPE` is bound to on this store, whose role is asked for once."""
        if self._role is None:
            self._role = await select_role(connection)
        return scope(self._role, organization_id)

    @property
    def has_spare(self) -> bool:
        """Whether one more connection can be had at once."""
        return not self._free.locked()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for the length of a block; waits in line for it, but not for ever."""
        self.pulse.insist()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._free.acquire()
        try:
            self.pulse.insist()  # It may have been lost meanwhile, with many waiting in line.
            async with self._engine.connect() as connection:
                yield connection
        finally:
            self._free.release()

    @asynccontextmanager
    async def snapshot(self, organization_id: UUID) -> AsyncIterator["Snapshot"]:
        """One instant of an organization's rows, read-only.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with AsyncExitStack() as stack:
            snapshot = Snapshot(self, stack, organization_id)
            try:
                yield snapshot
            finally:
                await snapshot.stop_reading()


# Clients give up after 10 s: what is answered later is read by nobody.
_STATEMENT_SECONDS = 8
_PATIENCE_SECONDS = 8
_CONNECT_SECONDS = 1.5

_SCOPE = text(f"SELECT {SCOPE}")
# The time-out is the transaction's, not the session's, which a pooler would refuse.
_IN_TIME = f"{SCOPE}, set_config('statement_timeout', '{_STATEMENT_SECONDS}s', true)"
_SCOPE_IN_TIME = text(f"SELECT {_IN_TIME}")
_EXPORT = text(f"SELECT pg_export_snapshot(), {_IN_TIME}")


class Snapshot:
    """Reads of one request: all of them see the store as it was at the first.

    A connection serves one statement at a time. A statement that comes while another runs gets a
    connection of its own, which joins the same instant; or it waits, where that is switched off
    or no connection is free. Nobody waits for a second connection while holding one.
    """

    def __init__(self, database: Database, stack: AsyncExitStack, organization_id: UUID) -> None:
        self._database = database
        self._stack = stack
        self._own = organization_id
        self._admitted = {organization_id}
        self._opening = asyncio.Lock()
        self._idle: asyncio.Queue[_Scoped] = asyncio.Queue()
        self._opened = 0
        self._exported: str | None = None
        self._reading: set[asyncio.Task[Any]] = set()

    async def stop_reading(self) -> None:
        """Cancel the statements that still run: of a request that was given up, in other tasks."""
        others = self._reading - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def admit(self, organization_id: UUID) -> None:
        """Let statements name another organization too: the caller's right was checked."""
        self._admitted.add(organization_id)

    async def rows(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        organization_id: UUID | None = None,
    ) -> Sequence[Any]:
        """All rows of a statement, of one organization: the snapshot's, or one let in.

        Raises:
            Forbidden: The organization was not let in.
        """
        organization_id = organization_id or self._own
        if organization_id not in self._admitted:
            raise Forbidden("This request may not read that organization.")
        with _StoreErrors(), self._noted():
            scoped = await self._take(organization_id)
            try:
                await self._limit(scoped, organization_id)
                # The server ends a statement in time; this is for one that no longer can.
                async with asyncio.timeout(_STATEMENT_SECONDS + 1):
                    return (await scoped.connection.execute(statement, parameters)).all()
            finally:
                self._idle.put_nowait(scoped)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Remember which task waits for the store."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  within a coroutine there is one
        self._reading.add(task)
        try:
            yield
        finally:
            self._reading.discard(task)

    async def _take(self, organization_id: UUID) -> "_Scoped":
        async with self._opening:
            if not self._idle.empty() or not self._may_open:
                return await self._idle.get()
            scoped = await self._open(organization_id)
            self._opened += 1
            return scoped

    @property
    def _may_open(self) -> bool:
        if self._opened == 0:
            return True
        return (
            self._database.shared_snapshots
            and self._opened < _SIDE_BY_SIDE
            and self._database.has_spare
        )

    async def _open(self, organization_id: UUID) -> "_Scoped":
        connection = await self._stack.enter_async_context(self._database.connection())
        await connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        if self._exported is not None:
            await connection.execute(text(f"SET TRANSACTION SNAPSHOT '{self._exported}'"))
        elif self._database.shared_snapshots:
            bound = await self._database.scope(connection, organization_id)
            self._exported = (await connection.execute(_EXPORT, bound)).scalar_one()
            return _Scoped(connection, organization_id)
        return _Scoped(connection)

    async def _limit(self, scoped: "_Scoped", organization_id: UUID) -> None:
        if scoped.organization_id != organization_id:
            bound = await self._database.scope(scoped.connection, organization_id)
            await scoped.connection.execute(_SCOPE_IN_TIME, bound)
            scoped.organization_id = organization_id


@dataclass(slots=True)
class _Scoped:
    """A connection of a snapshot, and whose rows its transaction sees."""

    connection: AsyncConnection
    organization_id: UUID | None = None


_SIDE_BY_SIDE = 2
"""Connections that one request may use: members and projects of a level are read together."""


def _refuse_broken(connection: Any, *_: object) -> None:
    """Not to hand out a connection that its server has closed; asks nobody, unlike a ping."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("The server closed the connection.")


class _StoreErrors:
    """Turns what the store cannot do into the error that says so."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, _AWAY) or (isinstance(error, DBAPIError) and _is_away(error)):
            raise StoreUnavailable from error
        if isinstance(error, DBAPIError) and _state(error) == _CANCELLED:
            raise StatementCancelled from error
        if isinstance(error, DBAPIError) and _state(error).startswith(_BAD_VALUE):
            reason = str(error.orig).rpartition(": ")[2]
            raise InvalidArgument(f"A value cannot be stored or compared: {reason}.") from error


def _is_away(error: DBAPIError) -> bool:
    return error.connection_invalidated or _state(error).startswith(_AWAY_STATES)


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
