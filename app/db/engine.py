"""Access to the store: `transaction()` to write, `snapshot()` to read.

Both see only the rows of the organization that they name (`app/db/row_security.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admission import TenantCapacity
from app.db.error_translation import StoreErrorTranslator
from app.db.local_settings import compose_commands, mark_distributed, set_locally
from app.db.pool import ConnectionPool
from app.db.row_security import owner_scope_settings, scope_settings
from app.db.snapshot import Snapshot
from app.db.statements import Statement
from app.timeouts import LOCK_SECONDS, STATEMENT_SECONDS, WRITER_SECONDS

Transaction = AsyncConnection
"""An open transaction. Only the context manager that began it commits it."""

# Another batch, such as an import of years, may hold the organization. Waiting transactions would
# use up the connections.
_LOCK_TIMEOUT = {"lock_timeout": f"{LOCK_SECONDS}s"}
# Limited to the transaction, because a pooler rejects settings of the session.
_STATEMENT_TIMEOUT = {"statement_timeout": f"{STATEMENT_SECONDS}s"}


class Database(ConnectionPool):
    """A PostgreSQL database that holds the store.

    Attributes:
        require_free_space: Raises `StoreFull` while events must not be stored, because the disk
            is almost full.

    Args:
        url: A libpq URI, with every option that asyncpg supports (`sslmode`, several hosts).
        pool_size: The largest number of connections.
        shared_snapshots: Whether one request may read over two connections that share an
            exported snapshot. False behind a pooler. On Citus it never does.
        prepared_statements: False behind a pooler in transaction mode.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        shared_snapshots: bool = True,
        prepared_statements: bool = True,
    ) -> None:
        super().__init__(url, pool_size=pool_size, prepared_statements=prepared_statements)
        self.shared_snapshots = shared_snapshots
        # At least 2, because a transaction may be opened while another one is open.
        self._writers = TenantCapacity(
            max(2, pool_size - pool_size // 4),
            WRITER_SECONDS,
            tenant_limit=max(2, pool_size // 3),
        )
        self.require_free_space: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def transaction(self, organization_id: UUID) -> AsyncIterator[Transaction]:
        """Begin a transaction on the rows of one organization.

        It commits at the end of the block, and rolls back on an error. One organization gets at
        most a part of the connections, so that its writers cannot hold up the others.

        Raises:
            IngestQueueFull: Another transaction holds the organization for long.
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with (
            self._writers.acquire(organization_id),
            self._begin_scoped(organization_id, _LOCK_TIMEOUT) as tx,
        ):
            yield tx

    def lock_transaction(self, organization_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction that holds a lock while its holder opens further transactions.

        It does not count towards the organization's part of the connections: holders that wait
        for one another's part would stop all of them.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        return self._begin_scoped(organization_id, _LOCK_TIMEOUT)

    def unscoped_read(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a read of all tenants' organizations, users, keys and sessions, to authenticate.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        return self._begin_scoped(None, _STATEMENT_TIMEOUT)

    async def fetch_for_sign_in(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[asyncpg.Record]:
        """Execute one statement on the tables that authentication reads, in one round trip.

        The owner of the tables sees all rows, and a single statement needs no transaction. Where
        policies bind the owner too, it runs in a snapshot; so it does behind a pooler, which may
        prepare it on one connection and execute it on another.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        with StoreErrorTranslator():
            async with (
                self.driver_connection() as connection,
                asyncio.timeout(STATEMENT_SECONDS),
            ):
                if await self.may_read_as_owner(connection):
                    return await self._fetch_once(connection, statement, parameters)
        async with self.snapshot(None) as snapshot:
            return await snapshot.fetch_rows(statement, parameters)

    async def _fetch_once(
        self, connection: asyncpg.Connection, statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[asyncpg.Record]:
        arguments = statement.arguments(parameters)
        started_at = time.perf_counter()
        try:
            rows: Sequence[asyncpg.Record] = await connection.fetch(statement.text, *arguments)
        except asyncio.CancelledError:
            connection.terminate()  # The server may have stopped responding.
            raise
        self.record_read(statement.text, arguments, time.perf_counter() - started_at, len(rows))
        return rows

    @asynccontextmanager
    async def owner_transaction(self) -> AsyncIterator[Transaction]:
        """Begin a transaction as the owner of the tables, who sees all rows.

        For migrations and maintenance only.

        Raises:
            ServiceBusy: No connection was free in time.
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        async with self.begin() as connection:
            for command in compose_commands(owner_scope_settings()):
                await connection.exec_driver_sql(command)
            yield connection

    @asynccontextmanager
    async def _begin_scoped(
        self, organization_id: UUID | None, limits: Mapping[str, str]
    ) -> AsyncIterator[Transaction]:
        role, is_distributed = await self.traits()
        async with self.begin() as connection:
            mark_distributed(connection, is_distributed=is_distributed)
            await set_locally(connection, {**scope_settings(role, organization_id), **limits})
            yield connection

    @asynccontextmanager
    async def snapshot(self, organization_id: UUID | None) -> AsyncIterator[Snapshot]:
        """Open a read-only snapshot of an organization's rows; None reads as `unscoped_read`.

        Raises:
            StoreUnavailable: PostgreSQL cannot be reached.
        """
        stack = AsyncExitStack()
        snapshot = Snapshot(
            self, stack, organization_id, may_read_side_by_side=self.shared_snapshots
        )
        try:
            yield snapshot
        finally:
            with StoreErrorTranslator():  # Errors that the block raises pass unchanged.
                async with stack:
                    await snapshot.cancel_reads()
