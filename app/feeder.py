"""The feed's own process: what stores events stands in nobody's way who reads a report.

`serve` starts it and hands deliveries over, through a pair of sockets that nobody else has. The
process ends when its end of the pair does, whatever became of `serve`; when the process ends
before, it is started anew, and whoever waited for it is told to send the batch again.
"""

import asyncio
import logging
import pickle
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, NamedTuple, Self

import uvloop

from app.db.engine import Database
from app.domain.errors import ChargebackError, StoreUnavailable
from app.feed.ingest import Accepted
from app.memory import keep_little, settle
from app.settings import LogFormat, Settings
from app.web.logs import configure_logs
from resolvers.feed import Delivery, Intake

_log = logging.getLogger(__name__)

_CONNECTIONS = 4
"""To PostgreSQL: one for each organization whose events are being stored, and a few."""
_STOP_SECONDS = 10.0
_RESTART_SECONDS = 1.0

Note = tuple[str, float, int]
"""A statement that was executed: its text, its seconds, the rows that it read or wrote."""


class _Setup(NamedTuple):
    """What the process is told first."""

    url: str
    connections: int
    prepared_statements: bool
    log_format: LogFormat
    log_level: str


class _Answer(NamedTuple):
    """What became of a delivery, and the statements that were executed since the last answer."""

    number: int
    outcome: Accepted | ChargebackError | None
    """None is a mistake of ours, which the process has logged."""
    notes: list[Note]


class _Line:
    """One end of the pair of sockets: whole messages, pickled by the same program's other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=end, limit=_BUFFERED_BYTES))

    async def send(self, message: object, body: bytes = b"") -> None:
        """Send a message and, uncopied, what belongs to it.

        Raises:
            OSError: The other end has gone.
        """
        written = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTHS.pack(len(written), len(body)) + written)
        self._writer.write(body)
        await self._writer.drain()

    async def receive(self) -> tuple[Any, bytes] | None:
        """The next message and what belongs to it; None when the other end has gone."""
        try:
            head = await self._reader.readexactly(_LENGTHS.size)
            length, body_length = _LENGTHS.unpack(head)
            message = pickle.loads(await self._reader.readexactly(length))  # noqa: S301  our own
            return message, await self._reader.readexactly(body_length)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        self._writer.close()


_LENGTHS = struct.Struct(">QQ")
_BUFFERED_BYTES = 1_048_576


class Spawned:
    """A process that was started and waits to be told what to do."""

    def __init__(self, process: asyncio.subprocess.Process, line: _Line) -> None:
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
                f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()",
                str(its.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,  # A terminal's Ctrl-C is for us, who then tell it.
            )
        return cls(process, await _Line.over(ours))

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
        self._setup = _Setup(
            url=database.url,
            connections=min(_CONNECTIONS, settings.database_connections),
            prepared_statements=settings.database_prepared_statements,
            log_format=log_format,
            log_level=settings.log_level,
        )
        self._note = database.note
        self._first = first
        self._line: _Line | None = None
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}

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
        answered: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
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

    async def _pass_on(self, line: _Line) -> None:
        """Until the process has gone; whoever waits for an answer then is told so."""
        try:
            while received := await line.receive():
                answer: _Answer = received[0]
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


def _told(answer: _Answer) -> Accepted:
    if isinstance(answer.outcome, ChargebackError):
        raise answer.outcome
    if answer.outcome is None:
        raise RuntimeError("The feed's process met an unexpected error; its log has the trace.")
    return answer.outcome


async def _work(end: socket.socket) -> None:
    """The process: answer deliveries until nobody is left to answer."""
    line = await _Line.over(end)
    if (received := await line.receive()) is None:
        return
    setup: _Setup = received[0]
    configure_logs(setup.log_format, setup.log_level.upper())
    database = Database(
        setup.url,
        connections=setup.connections,
        prepared_statements=setup.prepared_statements,
    )
    notes: list[Note] = []
    database.watchers.append(lambda *note: notes.append(note))
    settle()
    try:
        async with database.pulse.watched():
            await _answer_all(line, Intake(database), notes)
    finally:
        await database.close()


async def _answer_all(line: _Line, intake: Intake, notes: list[Note]) -> None:
    answering: set[asyncio.Task[None]] = set()

    async def answer(number: int, delivery: Delivery) -> None:
        outcome = await _outcome(intake, delivery)
        executed = notes.copy()
        notes.clear()
        with suppress(OSError):  # Nobody may wait for it any more.
            await line.send(_Answer(number, outcome, executed))

    while received := await line.receive():
        (number, delivery), body = received
        task = asyncio.create_task(answer(number, delivery._replace(body=body)))
        answering.add(task)
        task.add_done_callback(answering.discard)
    if answering:
        await asyncio.wait(answering)


async def _outcome(intake: Intake, delivery: Delivery) -> Accepted | ChargebackError | None:
    try:
        return await intake.take(delivery)
    except ChargebackError as refusal:
        return refusal
    except Exception:
        _log.exception("unexpected error while events were stored")
        return None


def main() -> None:
    """Run the process on the socket that the first argument names."""
    # A supervisor tells all processes to stop; this one stops when the one that needs it has.
    for wish in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wish, signal.SIG_IGN)
    keep_little()
    uvloop.run(_work(socket.socket(fileno=int(sys.argv[1]))))
