"""The service's end: it keeps the process, and hands deliveries over."""

import asyncio
import logging
import math
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Self

import structlog

from app import __version__
from app.db.engine import Database
from app.domain.errors import ChargebackError, StoreUnavailable
from app.ingest.store import IngestResult
from app.server.ingest_worker.channel import (
    Channel,
    Heartbeat,
    Setup,
    WorkerRequest,
    WorkerResponse,
)
from app.services.group_commit import IngestRequest
from app.settings import LogFormat, Settings

_log = logging.getLogger(__name__)

_CONNECTIONS = 4
"""To PostgreSQL: one for each organization whose events are being stored, and a few."""
_STOP_SECONDS = 10.0
_SILENT_SECONDS = 30
"""Its loop stands still for a second beside the largest body that it takes unless told."""
_LONGER_AT_FIRST = 4
"""Until it is there: it imports for a second, and for a minute with little of a processor."""
_OTHER_VERSION = 3
# What is said here of another version must hold for each: it is asked before all else.
_PROGRAM = f"""
import sys
sys.path[:] = {{path!r}}
from app import __version__
if __version__ != {__version__!r}:
    sys.exit({_OTHER_VERSION})
from app.server.ingest_worker.worker import main
main()
"""


class WorkerProcess:
    """A process that was started and waits to be told what to do."""

    def __init__(self, process: asyncio.subprocess.Process, line: Channel) -> None:
        self.process, self.line = process, line

    @classmethod
    async def start(cls) -> Self:
        """Start one; it is there in a second, and what it is told until then it finds.

        It imports from where we do: with `-m` the current folder would come first, whose `app.py`
        is somebody else's.
        """
        async with AsyncExitStack() as undo:
            ours, its = socket.socketpair()
            undo.callback(ours.close)
            with its:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-c",
                    _PROGRAM.format(path=sys.path),
                    str(its.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                    start_new_session=True,  # A terminal's Ctrl-C is for us, who then tell it.
                )
            undo.push_async_callback(_killed, process)
            line = await Channel.over(ours)
            undo.pop_all()
        return cls(process, line)

    async def end(self) -> None:
        """Hang up: it stores what it has taken, and ends; one that does not is ended."""
        self.line.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            await _killed(self.process)


async def _killed(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


@asynccontextmanager
async def spawned() -> AsyncIterator[WorkerProcess]:
    """The process for the length of a block, started early: it takes a while to be there."""
    started = await WorkerProcess.start()
    try:
        yield started
    finally:
        await started.end()


class IngestWorkerClient:
    """The process as `serve` hands deliveries to it, for the length of a context.

    Args:
        first: The process, which is started anew whenever it ends.
        database: The store, whose watchers are told of the process's statements too.
        settings: What this install chose.
        log_format: How the process writes its log.
        silent_seconds: One that gives no sign of life for so long is ended; a new one has longer.
    """

    def __init__(
        self,
        first: WorkerProcess,
        database: Database,
        settings: Settings,
        log_format: LogFormat,
        silent_seconds: int = _SILENT_SECONDS,
    ) -> None:
        self._setup = Setup(
            url=database.url,
            connections=min(_CONNECTIONS, settings.database_pool_size),
            prepared_statements=settings.database_prepared_statements,
            log_format=log_format,
            log_level=settings.log_level,
        )
        self._tell = database.notify_listeners
        self._first = first
        self._silent_seconds = silent_seconds
        self._pauses = Backoff()
        self._line: Channel | None = None
        self._signs = 0
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[WorkerResponse | None]] = {}
        self.restarts = 0
        """As `Ingestor` says."""

    async def __aenter__(self) -> Self:
        await self._begin(self._first)
        self._keeper = asyncio.create_task(self._keep(self._first))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    @property
    def is_up(self) -> bool:
        """As `Ingestor` says: while the process has given a sign of life, and has not ended."""
        return self._line is not None and self._signs > 0

    async def ingest(self, request: IngestRequest) -> IngestResult:
        """As `Ingestor` says.

        Raises:
            StoreUnavailable: Also when the process is not there, or ends meanwhile.
        """
        answer = await self._answer(self._line, request) if self._line is not None else None
        if answer is None:
            raise StoreUnavailable
        for executed in answer.statements:
            self._tell(executed)
        return _told(answer)

    async def _answer(self, line: Channel, delivery: IngestRequest) -> WorkerResponse | None:
        """What the process says of a delivery; None when it ends before."""
        number = next(self._numbers)
        answered: asyncio.Future[WorkerResponse | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiting[number] = answered
        logged = structlog.contextvars.get_contextvars()
        question = WorkerRequest(number, delivery._replace(body=b""), logged)
        try:
            await line.send(question, delivery.body)
            return await answered
        except OSError:
            return None
        finally:
            del self._waiting[number]

    async def _keep(self, current: WorkerProcess) -> None:
        """Pass on answers, and start another process whenever one ends, until cancelled."""
        try:
            while await self._listen(current) != _OTHER_VERSION:
                _log.error("the feed's process ended with status %s", current.process.returncode)
                current = await self._another()
            _log.error(
                "the files of the service are no longer those of version %s: restart it; until "
                "then it takes no events",
                __version__,
            )
        except Exception:
            _log.exception("unexpected error: the feed's process is not kept any longer")
        finally:
            await current.end()

    async def _another(self) -> WorkerProcess:
        while True:
            await asyncio.sleep(self._pauses.next(time.monotonic()))
            try:
                started = await WorkerProcess.start()
            except Exception:
                _log.exception("the feed's process cannot be started")
            else:
                self.restarts += 1
                await self._begin(started)
                return started

    async def _begin(self, started: WorkerProcess) -> None:
        with suppress(OSError):  # That it has gone is found out by whoever listens to it.
            await started.line.send(self._setup)
        self._signs = 0
        self._line = started.line

    async def _listen(self, current: WorkerProcess) -> int | None:
        """Pass on what it says until it ends, by itself or for its silence; its exit status."""
        watch = asyncio.create_task(self._watch(current.process))
        try:
            await self._pass_on(current.line)
        finally:
            watch.cancel()
        await current.end()
        return current.process.returncode

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """End it once it is silent for long.

        Only seconds count in which our own loop ran: while it stands still, signs are not read.
        """
        silent, heard = 0, self._signs
        while silent < self._silent_seconds * (1 if heard else _LONGER_AT_FIRST):
            await asyncio.sleep(1)
            silent = silent + 1 if self._signs == heard else 0
            heard = self._signs
        _log.error("the feed's process gave no sign of life for %s s: it is killed", silent)
        await _killed(process)

    async def _pass_on(self, line: Channel) -> None:
        """Until the process has gone; whoever waits for an answer then is told so."""
        try:
            while received := await line.receive():
                self._signs += 1
                self._hear(received[0])
        except Exception:
            _log.exception("unexpected error while the feed's process was listened to")
        finally:
            self._line = None
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(None)

    def _hear(self, message: WorkerResponse | Heartbeat) -> None:
        if isinstance(message, Heartbeat):
            for executed in message.statements:
                self._tell(executed)
            return
        waiting = self._waiting.get(message.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


class Backoff:
    """How long to wait before each new start: longer each time, until one lives for a while."""

    def __init__(self) -> None:
        self._last_seconds = 0.0
        self._last_at = -math.inf

    def next(self, now: float) -> float:
        """In seconds, as `now` is."""
        again = now - self._last_at < self._last_seconds + _LONG_SECONDS
        self._last_at = now
        self._last_seconds = min(2 * self._last_seconds, _LONG_SECONDS) if again else 1.0
        return self._last_seconds


_LONG_SECONDS = 10.0
"""At the most; and how long one must have lived to be well. A start costs a processor a second."""


def _told(answer: WorkerResponse) -> IngestResult:
    if isinstance(answer.outcome, ChargebackError):
        raise answer.outcome
    if answer.outcome is None:
        raise RuntimeError("The feed's process met an unexpected error; its log has the trace.")
    return answer.outcome
