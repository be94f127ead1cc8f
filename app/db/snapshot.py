"""Reads of one request, all of one instant of the store.

This is the hot path: statements are compiled already, and rows are the driver's own.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from app.db.error_translation import DRIVER_ERRORS, StoreErrors
from app.db.row_security import scope_command
from app.db.statements import Statement
from app.domain.errors import Forbidden

if TYPE_CHECKING:
    from app.db.engine import Database

# Clients give up after 10 s: what is answered later is read by nobody.
STATEMENT_SECONDS = 8
_SIDE_BY_SIDE = 2
"""Connections that one request may use: members and projects of a level are read together."""
_LONG_ARRAY = 100
"""As many elements the server expects of an array that it has not seen."""


class Snapshot:
    """Reads of one request: all of them see the store as it was at the first.

    A connection serves one statement at a time. A statement that comes while another runs gets a
    connection of its own, which joins the same instant; or it waits, where that is switched off
    or no connection is free. Nobody waits for a second connection while holding one.
    """

    def __init__(
        self, database: "Database", stack: AsyncExitStack, organization_id: UUID | None
    ) -> None:
        self._database = database
        self._stack = stack
        self._own = organization_id
        self._admitted: set[UUID | None] = {organization_id}
        self._taking = asyncio.Lock()
        self._idle: asyncio.Queue[_Reader] = asyncio.Queue()
        self._opened = 0
        self._wanted = 0
        self._exported: str | None = None
        self._reading: set[asyncio.Task[Any]] = set()
        self.row_count = 0
        """How many rows were read: what the answer will be as large as."""

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
        statement: Statement,
        parameters: Mapping[str, Any],
        *,
        organization_id: UUID | None = None,
    ) -> Sequence[asyncpg.Record]:
        """All rows of a statement, of one organization: the snapshot's, or one let in.

        Args:
            statement: What to read; its parameter `organization_id` is given here.
            parameters: Its other parameters, and perhaps some that it does not have.
            organization_id: Whose rows.

        Raises:
            Forbidden: The organization was not let in.
        """
        organization_id, arguments = self._bound(statement, parameters, organization_id)
        async with self._turn(arguments, organization_id) as reader:
            began_at = time.perf_counter()
            rows: Sequence[asyncpg.Record] = await reader.connection.fetch(
                statement.text, *arguments
            )
            seconds = time.perf_counter() - began_at
        self._note(statement, arguments, seconds, len(rows))
        return rows

    async def chunks(
        self,
        statement: Statement,
        parameters: Mapping[str, Any],
        size: int,
        *,
        organization_id: UUID | None = None,
    ) -> AsyncGenerator[Sequence[asyncpg.Record], None]:
        """The rows of a statement, `size` at a time; between two chunks others have their turn.

        The statement runs once, as its rows are asked for: they are never all in memory here.

        Args, Raises: As for `rows`.
        """
        organization_id, arguments = self._bound(statement, parameters, organization_id)
        reader: _Reader | None = None
        portal: Any = None
        seconds, row_count = 0.0, 0
        try:
            while True:
                async with self._turn(arguments, organization_id, reader) as reader:
                    began_at = time.perf_counter()
                    if portal is None:
                        prepared = await reader.connection.prepare(statement.text)
                        portal = await prepared.cursor(*arguments)
                    rows: Sequence[asyncpg.Record] = await portal.fetch(size)
                    seconds += time.perf_counter() - began_at
                row_count += len(rows)
                if rows:
                    yield rows
                if len(rows) < size:
                    return
        finally:
            self._note(statement, arguments, seconds, row_count)

    def _bound(
        self, statement: Statement, parameters: Mapping[str, Any], organization_id: UUID | None
    ) -> tuple[UUID | None, list[Any]]:
        """Whose rows a statement reads, and its arguments."""
        organization_id = organization_id or self._own
        if organization_id not in self._admitted:
            raise Forbidden("This request may not read that organization.")
        return organization_id, statement.arguments(
            {**parameters, "organization_id": organization_id}
        )

    def _note(
        self, statement: Statement, arguments: Sequence[Any], seconds: float, rows: int
    ) -> None:
        self.row_count += rows
        self._database.note(statement.text, seconds, rows)
        for observe in self._database.observers:
            observe(statement.text, arguments)

    @asynccontextmanager
    async def _turn(
        self,
        arguments: Sequence[Any],
        organization_id: UUID | None,
        reader: "_Reader | None" = None,
    ) -> "AsyncIterator[_Reader]":
        """A connection, ready for a statement; or that one, for more rows of its statement."""
        with StoreErrors(), self._noted():
            taken = reader or await self._take()
            try:
                # The server ends a statement in time; this is for one that no longer can.
                async with taken.lock, asyncio.timeout(STATEMENT_SECONDS + 1):
                    await self._make_ready(taken, arguments, organization_id)
                    yield taken
            finally:
                if reader is None:
                    self._idle.put_nowait(taken)

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

    async def _make_ready(
        self, reader: "_Reader", arguments: Sequence[Any], organization_id: UUID | None
    ) -> None:
        if reader.organization_id != organization_id:
            await reader.connection.execute(await self._scope(organization_id))
            reader.organization_id = organization_id
        if not reader.plans_anew and any(map(_is_long, arguments)):
            await reader.connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            reader.plans_anew = True

    async def _take(self) -> "_Reader":
        self._wanted += 1
        try:
            await asyncio.sleep(0)  # Siblings that begin in this turn of the loop come too.
            async with self._taking:
                return await self._free_or_new()
        finally:
            self._wanted -= 1

    async def _free_or_new(self) -> "_Reader":
        if self._opened == 0 or (
            self._idle.empty() and self._exported is not None and self._may_open
        ):
            reader = await self._open()
        else:
            reader = await self._idle.get()
        if self._wanted > 1 and self._exported is None and self._may_open:
            async with reader.lock:
                self._exported = await reader.connection.fetchval("SELECT pg_export_snapshot()")
        return reader

    @property
    def _may_open(self) -> bool:
        return (
            self._database.shared_snapshots
            and self._opened < _SIDE_BY_SIDE
            and self._database.has_spare
        )

    async def _open(self) -> "_Reader":
        """Begin on one more connection, in one round trip."""
        scope = await self._scope(self._own)  # It may take a connection, the first time.
        pooled = await self._stack.enter_async_context(self._database.connection())
        connection: Any = (await pooled.get_raw_connection()).driver_connection
        self._stack.push_async_callback(_end, connection)
        instant = f"SET TRANSACTION SNAPSHOT '{self._exported}';" if self._exported else ""
        await connection.execute(
            f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {instant}"
            # The time-out is the transaction's, not the session's, which a pooler would refuse.
            f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; SET LOCAL jit = off; {scope}"
        )
        self._opened += 1
        return _Reader(connection, self._own)

    async def _scope(self, organization_id: UUID | None) -> str:
        return scope_command(await self._database.role(), organization_id)


@dataclass(slots=True)
class _Reader:
    """A connection of a snapshot.

    Attributes:
        organization_id: Whose rows its transaction sees.
        plans_anew: Whether the server plans for the arrays that it is given, rather than as for
            any: it takes arrays to be short, and would read thousands of parents one by one.
        lock: Held by whoever asks the server something.
    """

    connection: Any
    organization_id: UUID | None
    plans_anew: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def _is_long(argument: object) -> bool:
    return isinstance(argument, list) and len(argument) > _LONG_ARRAY


async def _end(connection: Any) -> None:
    """Leave the connection as it was, or closed: then it is not handed out again."""
    ended = False
    try:
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(1):
                await connection.execute("ROLLBACK")
            ended = True
    finally:
        if not ended:  # Also when the request was cancelled, which must not wait for anything.
            connection.terminate()
