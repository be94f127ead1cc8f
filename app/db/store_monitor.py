"""Whether the store answers: asked all the time, over a connection of its own.

A server that is paused, or behind a network that swallows packets, refuses nothing: whoever asks
it waits. So somebody asks it all the time, and the others need not find out for themselves.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from app.domain.errors import StoreUnavailable

_log = logging.getLogger(__name__)

_EVERY_SECONDS = 0.3
_EVERY_SECONDS_AWAY = 0.1
_PATIENCE_SECONDS = 1.0
_LOOKS = 3
"""How often, within that patience, our own loop must have had time to see an answer."""
_SILENT = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
)
"""No answer, or that of a server which is starting or stopping: it serves nobody."""


class StoreMonitor:
    """The state of the store as last seen.

    Args:
        connect: Opens a connection; its errors say whether there is a server at all.
        on_loss: Called once each time that the store stops answering.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], on_loss: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._on_loss = on_loss
        self._connection: asyncpg.Connection | None = None
        self.is_watched = False
        self.is_away = False
        self.revision: str | None = None
        """The migration that the store is at, as last read; None when it has none."""

    def insist(self) -> None:
        """Let nobody wait for a store that is known to be away.

        Raises:
            StoreUnavailable: It did not answer when it was last asked.
        """
        if self.is_watched and self.is_away:
            raise StoreUnavailable

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask for as long as the block lasts."""
        watch = asyncio.create_task(self._watch())
        self.is_watched = True
        try:
            yield
        finally:
            self.is_watched = self.is_away = False
            watch.cancel()
            await asyncio.wait([watch])
            self._drop()

    async def _watch(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception:
                self._drop()
                _log.exception("unexpected error while the store was watched")
            await asyncio.sleep(_EVERY_SECONDS_AWAY if self.is_away else _EVERY_SECONDS)

    async def beat(self) -> None:
        """Ask once; a connection that broke is no proof, so that a new one is tried."""
        for _ in range(2):
            fresh = self._connection is None
            try:
                await self._ask()
            except _SILENT as silence:
                self._drop()
                if fresh or isinstance(silence, TimeoutError):
                    self._lost(silence)
                    return
            except asyncpg.PostgresError:
                self._drop()  # Too many connections, a changed password: an answer all the same.
                break
        self._found()

    async def _ask(self) -> None:
        answer = asyncio.create_task(self._answer())
        answer.add_done_callback(_noted)
        try:
            await _in_time(answer)
        finally:
            answer.cancel()

    async def _answer(self) -> None:
        if self._connection is None:
            self._connection = await self._connect()
        self.revision = await _revision(self._connection)

    def _lost(self, silence: BaseException) -> None:
        if self.is_away:
            return
        self.is_away = True
        _log.error("The store is away: %s.", _reason(silence))
        self._on_loss()

    def _found(self) -> None:
        if self.is_away:
            _log.warning("The store is back.")
        self.is_away = False

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _in_time(answer: "asyncio.Task[None]") -> None:
    """Wait for it, for as long as its silence may be our own.

    Time alone proves nothing: while our loop stands still, an answer lies there unread. So it
    has several looks: each takes its part of the patience, or as long as the loop stood still.
    Nor is the end of a question waited for that is given up: the driver would tell a silent
    server to roll back, and wait for that.

    Raises:
        TimeoutError: It did not come.
    """
    for _ in range(_LOOKS):
        await asyncio.wait([answer], timeout=_PATIENCE_SECONDS / _LOOKS)
        if answer.done():
            return answer.result()
    raise TimeoutError


def _noted(answer: "asyncio.Task[None]") -> None:
    """Nobody else may ask any more what became of it."""
    if not answer.cancelled():
        answer.exception()


_REVISION = "SELECT version_num FROM alembic_version"


async def _revision(connection: asyncpg.Connection) -> str | None:
    # In a transaction: between two steps of a statement a pooler could change the server.
    with suppress(asyncpg.UndefinedTableError):
        async with connection.transaction(readonly=True):
            found: str | None = await connection.fetchval(_REVISION)
        return found
    return None


def _reason(silence: BaseException) -> str:
    return str(silence) or f"no answer in {_PATIENCE_SECONDS:g} s"
