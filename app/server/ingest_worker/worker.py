"""The process's end: it stores what it is handed, and says what became of it."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar

import structlog
import uvloop

from app.db.engine import Database, Executed
from app.domain.errors import ChargebackError
from app.ingest.store import Accepted
from app.observability.logs import configure_logs
from app.server.ingest_worker.channel import Answer, Line, Question, Setup, Sign
from app.server.process_tuning import keep_little, settle
from app.services.ingestion import Delivery, Intake, Taking

_log = logging.getLogger(__name__)


async def _work(end: socket.socket) -> None:
    """Answer deliveries until nobody is left to answer."""
    line = await Line.over(end)
    if (received := await line.receive()) is None:
        return
    setup: Setup = received[0]
    configure_logs(setup.log_format, setup.log_level.upper())
    database = Database(
        setup.url,
        connections=setup.connections,
        prepared_statements=setup.prepared_statements,
    )
    statements = Statements()
    database.watchers.append(statements.note)
    settle()
    try:
        async with database.pulse.watched():
            signs = asyncio.create_task(_give_signs(line, statements))
            await answer_all(line, Intake(database))
            signs.cancel()
    finally:
        await database.close()


class Statements:
    """Those that were executed, for the delivery in whose context they were, or for none."""

    def __init__(self) -> None:
        self._of_none: list[Executed] = []

    def note(self, executed: Executed) -> None:
        """One was executed."""
        of_delivery = _of_delivery.get()
        (self._of_none if of_delivery is None else of_delivery).append(executed)

    def of_none(self) -> Sequence[Executed]:
        """Those since it was asked before."""
        asked, self._of_none = self._of_none, []
        return asked


_of_delivery: ContextVar[list[Executed] | None] = ContextVar("statements", default=None)


async def _give_signs(line: Line, statements: Statements) -> None:
    with suppress(OSError):
        while True:
            await line.send(Sign(statements.of_none()))
            await asyncio.sleep(_SIGN_SECONDS)


_SIGN_SECONDS = 1.0


async def answer_all(line: Line, intake: Taking) -> None:
    """Answer deliveries, each as soon as it can be, until the line's other end has gone."""
    answering: set[asyncio.Task[None]] = set()

    async def answer(question: Question, body: bytes) -> None:
        statements: list[Executed] = []
        _of_delivery.set(statements)
        with structlog.contextvars.bound_contextvars(**question.logged):
            outcome = await _outcome(intake, question.delivery._replace(body=body))
        with suppress(OSError):  # Nobody may wait for it any more.
            await _say(line, Answer(question.number, outcome, statements))

    while received := await line.receive():
        task = asyncio.create_task(answer(*received))
        answering.add(task)
        task.add_done_callback(answering.discard)
    if answering:
        await asyncio.wait(answering)


async def _say(line: Line, answer: Answer) -> None:
    try:
        await line.send(answer)
    except OSError:
        raise
    except Exception:
        _log.exception("unexpected error while the answer of a delivery was written")
        await line.send(answer._replace(outcome=None))


async def _outcome(intake: Taking, delivery: Delivery) -> Accepted | ChargebackError | None:
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
