"""Monitor whether PostgreSQL responds.

A server that is paused, or behind a network that drops packets, rejects nothing, so every request
would wait for its timeout. The monitor probes it over a connection of its own, and requests fail
at once while it is down.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from app.domain.errors import StoreUnavailable
from app.timeouts import PROBE_SECONDS

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.3
_INTERVAL_SECONDS_WHILE_DOWN = 0.1
_WAITS_PER_PROBE = 3
"""A probe times out only if the event loop looked this often for a response."""
_REVISION = "SELECT version_num FROM alembic_version"
_DOWN = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
)
"""No response, or that of a server which is starting up or shutting down."""


class StoreMonitor:
    """The state of the store at the last probe.

    Args:
        connect: Opens a connection.
        on_loss: Called once each time that the store goes down.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], on_loss: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._on_loss = on_loss
        self._connection: asyncpg.Connection | None = None
        self.is_running = False
        self.is_down = False
        self.revision: str | None = None
        """The store's migration at the last probe; None when it has none."""

    def raise_if_down(self) -> None:
        """Reject a request at once while the store is down.

        Raises:
            StoreUnavailable: The monitor is running, and the last probe failed.
        """
        if self.is_running and self.is_down:
            raise StoreUnavailable

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Probe the store for as long as the block lasts."""
        loop = asyncio.create_task(self._probe_repeatedly())
        self.is_running = True
        try:
            yield
        finally:
            self.is_running = self.is_down = False
            loop.cancel()
            await asyncio.wait([loop])
            self._drop()

    async def _probe_repeatedly(self) -> None:
        while True:
            try:
                await self.probe()
            except Exception:
                self._drop()
                _log.exception("unexpected error in the store monitor")
            await asyncio.sleep(
                _INTERVAL_SECONDS_WHILE_DOWN if self.is_down else _INTERVAL_SECONDS
            )

    async def probe(self) -> None:
        """Probe once. If an existing connection is broken, try a new one before giving up."""
        for _ in range(2):
            is_new = self._connection is None
            try:
                await self._query_with_timeout()
            except _DOWN as error:
                self._drop()
                if is_new or isinstance(error, TimeoutError):
                    self._set_down(error)
                    return
            except asyncpg.PostgresError:
                self._drop()  # For example too many connections: the server does respond.
                break
        self._set_up()

    async def _query_with_timeout(self) -> None:
        query = asyncio.create_task(self._query())
        query.add_done_callback(_ignore_result)
        try:
            await _wait_for_response(query)
        finally:
            query.cancel()

    async def _query(self) -> None:
        if self._connection is None:
            self._connection = await self._connect()
        self.revision = await _select_revision(self._connection)

    def _set_down(self, error: BaseException) -> None:
        if self.is_down:
            return
        self.is_down = True
        _log.error("PostgreSQL is down: %s.", _reason(error))
        self._on_loss()

    def _set_up(self) -> None:
        if self.is_down:
            _log.warning("PostgreSQL is up again.")
        self.is_down = False

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _wait_for_response(query: "asyncio.Task[None]") -> None:
    """Wait for a query to finish, however often the event loop was blocked meanwhile.

    Elapsed time alone proves nothing: while the event loop is blocked, a response lies unread. So
    the timeout is split into several waits, and only an event loop that ran in each of them may
    conclude that the server is down. A query that times out is not awaited: the driver would send
    a rollback to the silent server and wait for that.

    Raises:
        TimeoutError: There was no response.
    """
    for _ in range(_WAITS_PER_PROBE):
        await asyncio.wait([query], timeout=PROBE_SECONDS / _WAITS_PER_PROBE)
        if query.done():
            return query.result()
    raise TimeoutError


def _ignore_result(query: "asyncio.Task[None]") -> None:
    """Retrieve the exception of an abandoned query, so that asyncio does not log it."""
    if not query.cancelled():
        query.exception()


async def _select_revision(connection: asyncpg.Connection) -> str | None:
    # In a transaction, because a pooler could otherwise switch servers within the statement.
    with suppress(asyncpg.UndefinedTableError):
        async with connection.transaction(readonly=True):
            revision: str | None = await connection.fetchval(_REVISION)
        return revision
    return None


def _reason(error: BaseException) -> str:
    return str(error) or f"no response in {PROBE_SECONDS:g} s"
