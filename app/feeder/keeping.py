"""The service's end: it keeps the process, and hands deliveries over."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Self

from app.db.engine import Database
from app.domain.errors import ChargebackError, StoreUnavailable
from app.feed.ingest import Accepted
from app.feeder.line import Answer, Line, Setup
from app.settings import LogFormat, Settings
from resolvers.feed import Delivery

_log = logging.getLogger(__name__)

_CONNECTIONS = 4
"""To PostgreSQL: one for each organization whose events are being stored, and a few."""
_STOP_SECONDS = 10.0
_RESTART_SECONDS = 1.0
_PROGRAM = "from app.feeder.storing import main; main()"


class Spawned:
    """A process that was started and waits to be told what to do."""

    def __init__(self, process: asyncio.subprocess.Process, line: Line) -> None:
        self.process, self.line = process, line

    @classmethod
    async def start(cls) -> Self:
        """Start one; it is there in a second, and what it is told until then it finds.

        It imports from where we do: with `-m` the current folder would come first, whose `app.py`
        is somebody else's.
        """
        ours, its = socket.socketpair()
        with its:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; {_PROGRAM}",
                str(its.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,  # A terminal's Ctrl-C is for us, who then tell it.
            )
        return cls(process, await Line.over(ours))

    async def end(self) -> None:
        """Hang up: it stores what it has taken, and ends; one that does not is ended."""
        self.line.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def spawned() -> AsyncIterator[Spawned]:
    """The process for the length of a block, started early: it takes a while to be there."""
    started = await Spawned.start()
    try:
        yield started
    finally:
        await started.end()


class Feeder:
    """The process as `serve` hands deliveries to it, for the length of a context.

    Args:
        first: The process, which is started anew whenever it ends.
        database: The store, whose watchers are told of the process's statements too.
        settings: What this install chose.
        log_format: How the process writes its log.
    """

    def __init__(
        self, first: Spawned, database: Database, settings: Settings, log_format: LogFormat
    ) -> None:
        self._setup = Setup(
            url=database.url,
            connections=min(_CONNECTIONS, settings.database_connections),
            prepared_statements=settings.database_prepared_statements,
            log_format=log_format,
            log_level=settings.log_level,
        )
        self._note = database.note
        self._first = first
        self._line: Line | None = None
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def __aenter__(self) -> Self:
        await self._begin(self._first)
        self._keeper = asyncio.create_task(self._keep(self._first))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    async def take(self, delivery: Delivery) -> Accepted:
        """As `Taking` says.

        Raises:
            StoreUnavailable: Also when the process is not there, or ends meanwhile.
        """
        if self._line is None:
            raise StoreUnavailable
        number = next(self._numbers)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            await self._line.send((number, delivery._replace(body=b"")), delivery.body)
            answer = await answered
        except OSError:
            raise StoreUnavailable from None
        finally:
            self._waiting.pop(number, None)
        for note in answer.notes:
            self._note(*note)
        return _told(answer)

    async def _keep(self, current: Spawned) -> None:
        """Pass on answers, and start another process whenever one ends, until cancelled."""
        try:
            while True:
                await self._pass_on(current.line)
                await current.end()
                status = current.process.returncode
                _log.error("the feed's process ended with status %s", status)
                current = await self._another()
        finally:
            await current.end()

    async def _another(self) -> Spawned:
        while True:
            await asyncio.sleep(_RESTART_SECONDS)
            try:
                started = await Spawned.start()
            except OSError as error:
                _log.error("the feed's process cannot be started: %s", error)
            else:
                await self._begin(started)
                return started

    async def _begin(self, started: Spawned) -> None:
        with suppress(OSError):  # That it has gone is found out by whoever listens to it.
            await started.line.send(self._setup)
        self._line = started.line

    async def _pass_on(self, line: Line) -> None:
        """Until the process has gone; whoever waits for an answer then is told so."""
        try:
            while received := await line.receive():
                answer: Answer = received[0]
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except Exception:
            _log.exception("unexpected error while the feed's process was listened to")
        finally:
            self._line = None
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(StoreUnavailable())


def _told(answer: Answer) -> Accepted:
    if isinstance(answer.outcome, ChargebackError):
        raise answer.outcome
    if answer.outcome is None:
        raise RuntimeError("The feed's process met an unexpected error; its log has the trace.")
    return answer.outcome
