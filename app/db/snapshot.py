"""A request's read-only snapshot of the store.

This is the hot path: statements are compiled in advance, and rows are the driver's own.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from app.db.error_translation import DRIVER_ERRORS, StoreErrorTranslator
from app.db.local_settings import compose_commands
from app.db.pool import ConnectionPool
from app.db.row_security import scope_settings
from app.db.statements import Statement
from app.domain.errors import Forbidden
from app.timeouts import STATEMENT_SECONDS

_MAX_CONNECTIONS = 2
"""Connections that one request may use. It reads members and projects of a level together."""
# The timeout is the transaction's. A pooler would reject one of the session.
_LOCAL_SETTINGS = compose_commands({"statement_timeout": f"{STATEMENT_SECONDS}s", "jit": "off"})
_LONG_ARRAY = 100
"""PostgreSQL assumes this many elements in an array whose value it does not know."""


class Snapshot:
    """The reads of one request. All of them see the store as it was at the first one.

    A connection executes one statement at a time. A second concurrent statement runs on a second
    connection, which imports the snapshot of the first. It waits for the first connection if
    `may_read_side_by_side` is false or the pool has no spare connection: a request that waited
    for a second connection while it held one could cause a deadlock.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        stack: AsyncExitStack,
        organization_id: UUID | None,
        *,
        may_read_side_by_side: bool,
    ) -> None:
        self._pool = pool
        self._may_read_side_by_side = may_read_side_by_side
        self._stack = stack
        self._organization_id = organization_id
        self._allowed: set[UUID | None] = {organization_id}
        self._acquire_lock = asyncio.Lock()
        self._idle: asyncio.Queue[_Reader] = asyncio.Queue()
        self._connection_count = 0
        self._waiting = 0
        self._exported: str | None = None
        self._reading_tasks: set[asyncio.Task[Any]] = set()
        self.row_count = 0
        """How many rows were read, as an estimate of the size of the response."""

    async def cancel_reads(self) -> None:
        """Cancel the reads of other tasks, which an aborted request leaves behind."""
        others = self._reading_tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def allow_organization(self, organization_id: UUID) -> None:
        """Allow reads of another organization. The caller's right must have been checked."""
        self._allowed.add(organization_id)

    async def fetch_rows(
        self,
        statement: Statement,
        parameters: Mapping[str, Any],
        *,
        organization_id: UUID | None = None,
    ) -> Sequence[asyncpg.Record]:
        """Execute a statement and return all its rows.

        Args:
            statement: The statement; its parameter `organization_id` is set here.
            parameters: The other parameters. Names that the statement lacks are ignored.
            organization_id: Whose rows to read; by default the snapshot's organization.

        Raises:
            Forbidden: The organization was not allowed.
            StatementCancelled: The statement took too long.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        organization_id, arguments = self._bind(statement, parameters, organization_id)
        async with self._reader(arguments, organization_id) as reader:
            started_at = time.perf_counter()
            rows: Sequence[asyncpg.Record] = await reader.connection.fetch(
                statement.text, *arguments
            )
            seconds = time.perf_counter() - started_at
        self._record(statement, arguments, seconds, len(rows))
        return rows

    async def iter_chunks(
        self,
        statement: Statement,
        parameters: Mapping[str, Any],
        size: int,
        *,
        organization_id: UUID | None = None,
    ) -> AsyncGenerator[Sequence[asyncpg.Record], None]:
        """Execute a statement and yield its rows, `size` at a time.

        The rows come from a cursor and are never all in memory. Other statements of the request
        may run on the connection between two chunks.

        Args, Raises: As for `fetch_rows`.
        """
        organization_id, arguments = self._bind(statement, parameters, organization_id)
        reader: _Reader | None = None
        portal: Any = None
        seconds, row_count = 0.0, 0
        try:
            while True:
                async with self._reader(arguments, organization_id, reader) as reader:
                    started_at = time.perf_counter()
                    if portal is None:
                        prepared = await reader.connection.prepare(statement.text)
                        portal = await prepared.cursor(*arguments)
                    rows: Sequence[asyncpg.Record] = await portal.fetch(size)
                    seconds += time.perf_counter() - started_at
                row_count += len(rows)
                if rows:
                    yield rows
                if len(rows) < size:
                    return
        finally:
            self._record(statement, arguments, seconds, row_count)

    def _bind(
        self, statement: Statement, parameters: Mapping[str, Any], organization_id: UUID | None
    ) -> tuple[UUID | None, list[Any]]:
        """Return the organization that a statement reads, and its arguments in order."""
        organization_id = organization_id or self._organization_id
        if organization_id not in self._allowed:
            raise Forbidden(f"This request may not read the organization {organization_id}.")
        if organization_id is not None:  # Authentication names one in its parameters.
            parameters = {**parameters, "organization_id": organization_id}
        return organization_id, statement.arguments(parameters)

    def _record(
        self, statement: Statement, arguments: Sequence[Any], seconds: float, rows: int
    ) -> None:
        self.row_count += rows
        self._pool.record_read(statement.text, arguments, seconds, rows)

    @asynccontextmanager
    async def _reader(
        self,
        arguments: Sequence[Any],
        organization_id: UUID | None,
        reader: "_Reader | None" = None,
    ) -> "AsyncIterator[_Reader]":
        """Acquire a connection and prepare it for a statement, or lock the given one again."""
        with StoreErrorTranslator(), self._tracked():
            acquired = reader or await self._acquire()
            try:
                # PostgreSQL cancels slow statements. This covers a server that stopped responding.
                async with acquired.lock, asyncio.timeout(STATEMENT_SECONDS + 1):
                    await self._prepare(acquired, arguments, organization_id)
                    yield acquired
            finally:
                if reader is None:
                    self._idle.put_nowait(acquired)

    @contextmanager
    def _tracked(self) -> Iterator[None]:
        """Keep track of the current task while it reads, for `cancel_reads`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a coroutine always runs in a task
        self._reading_tasks.add(task)
        try:
            yield
        finally:
            self._reading_tasks.discard(task)

    async def _prepare(
        self, reader: "_Reader", arguments: Sequence[Any], organization_id: UUID | None
    ) -> None:
        if reader.organization_id != organization_id:
            await self._execute(reader.connection, await self._scope_commands(organization_id))
            reader.organization_id = organization_id
        if not reader.has_custom_plans and any(map(_is_long, arguments)):
            await reader.connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            reader.has_custom_plans = True

    async def _acquire(self) -> "_Reader":
        self._waiting += 1
        try:
            await asyncio.sleep(0)  # Count siblings that start in this iteration of the loop.
            async with self._acquire_lock:
                return await self._get_or_open_reader()
        finally:
            self._waiting -= 1

    async def _get_or_open_reader(self) -> "_Reader":
        if self._connection_count == 0 or (
            self._idle.empty() and self._exported is not None and self._can_open_reader
        ):
            reader = await self._open_reader()
        else:
            reader = await self._idle.get()
        if self._waiting > 1 and self._exported is None and await self._may_export():
            async with reader.lock:
                self._exported = await reader.connection.fetchval("SELECT pg_export_snapshot()")
        return reader

    async def _may_export(self) -> bool:
        """Whether a second connection may import the snapshot; nodes of Citus do not get it."""
        return self._can_open_reader and not (await self._pool.traits()).is_distributed

    @property
    def _can_open_reader(self) -> bool:
        return (
            self._may_read_side_by_side
            and self._connection_count < _MAX_CONNECTIONS
            and self._pool.has_spare_connection
        )

    async def _open_reader(self) -> "_Reader":
        """Begin the transaction on one more connection."""
        # The first call takes a connection of its own, to ask for the traits of the store.
        scope = await self._scope_commands(self._organization_id)
        connection = await self._stack.enter_async_context(self._pool.driver_connection())
        self._stack.push_async_callback(_roll_back, connection)
        commands = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            *([f"SET TRANSACTION SNAPSHOT '{self._exported}'"] if self._exported else ()),
            *_LOCAL_SETTINGS,
            *scope,
        ]
        await self._execute(connection, commands)
        self._connection_count += 1
        return _Reader(connection, self._organization_id)

    async def _execute(self, connection: Any, commands: Sequence[str]) -> None:
        """Execute commands in one round trip; on Citus one by one, so that all nodes get them."""
        if (await self._pool.traits()).is_distributed:
            for command in commands:
                await connection.execute(command)
        else:
            await connection.execute("; ".join(commands))

    async def _scope_commands(self, organization_id: UUID | None) -> Sequence[str]:
        role = (await self._pool.traits()).role
        return compose_commands(scope_settings(role, organization_id))


@dataclass(slots=True)
class _Reader:
    """A connection of a snapshot.

    Attributes:
        organization_id: Whose rows its transaction sees.
        has_custom_plans: Whether PostgreSQL plans for the actual arguments. A generic plan
            assumes short arrays, and would look up thousands of parents one by one.
        lock: Held while a statement runs.
    """

    connection: Any
    organization_id: UUID | None
    has_custom_plans: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def _is_long(argument: object) -> bool:
    return isinstance(argument, list) and len(argument) > _LONG_ARRAY


async def _roll_back(connection: Any) -> None:
    """Roll back, or close the connection so that the pool discards it."""
    is_rolled_back = False
    try:
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(1):
                await connection.execute("ROLLBACK")
            is_rolled_back = True
    finally:
        if not is_rolled_back:  # A cancelled request must not wait either.
            connection.terminate()
