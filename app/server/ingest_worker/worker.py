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

from app.db.engine import Database
from app.db.pool import ExecutedStatement
from app.domain.errors import ChargebackError
from app.ingest.store import IngestResult
from app.observability.logs import configure_logs
from app.server.ingest_worker.channel import (
    Channel,
    Heartbeat,
    Setup,
    WorkerRequest,
    WorkerResponse,
)
from app.server.process_tuning import trim_malloc, tune_gc
from app.services.group_commit import GroupCommitIngestor, IngestRequest
from app.web.ingestor import Ingestor

_log = logging.getLogger(__name__)


async def _work(end: socket.socket) -> None:
    """WorkerResponse deliveries until nobody is left to answer."""
    line = await Channel.over(end)
    if (received := await line.receive()) is None:
        return
    setup: Setup = received[0]
    configure_logs(setup.log_format, setup.log_level.upper())
    database = Database(
        setup.url,
        pool_size=setup.connections,
        prepared_statements=setup.prepared_statements,
    )
    statements = Statements()
    database.statement_listeners.append(statements.note)
    tune_gc()
    try:
        async with database.monitor.run():
            signs = asyncio.create_task(_give_signs(line, statements))
            await answer_all(line, GroupCommitIngestor(database))
            signs.cancel()
    finally:
        await database.close()


class Statements:
    """Those that were executed, for the delivery in whose context they were, or for none."""

    def __init__(self) -> None:
        self._of_none: list[ExecutedStatement] = []

    def note(self, executed: ExecutedStatement) -> None:
        """One was executed."""
        of_delivery = _of_delivery.get()
        (self._of_none if of_delivery is None else of_delivery).append(executed)

    def of_none(self) -> Sequence[ExecutedStatement]:
        """Those since it was asked before."""
        asked, self._of_none = self._of_none, []
        return asked


_of_delivery: ContextVar[list[ExecutedStatement] | None] = ContextVar("statements", default=None)


async def _give_signs(line: Channel, statements: Statements) -> None:
    with suppress(OSError):
        while True:
            await line.send(Heartbeat(statements.of_none()))
            await asyncio.sleep(_SIGN_SECONDS)


_SIGN_SECONDS = 1.0


async def answer_all(line: Channel, intake: Ingestor) -> None:
    """Answer requests as they are stored, until the other end of the channel has gone."""
    answering: set[asyncio.Task[None]] = set()

    async def answer(question: WorkerRequest, body: bytes) -> None:
        statements: list[ExecutedStatement] = []
        _of_delivery.set(statements)
        with structlog.contextvars.bound_contextvars(**question.logged):
            outcome = await _outcome(intake, question.delivery._replace(body=body))
        with suppress(OSError):  # Nobody may wait for it any more.
            await _say(line, WorkerResponse(question.number, outcome, statements))

    while received := await line.receive():
        task = asyncio.create_task(answer(*received))
        answering.add(task)
        task.add_done_callback(answering.discard)
    if answering:
        await asyncio.wait(answering)


async def _say(line: Channel, answer: WorkerResponse) -> None:
    try:
        await line.send(answer)
    except OSError:
        raise
    except Exception:
        _log.exception("unexpected error while the answer of a delivery was written")
        await line.send(answer._replace(outcome=None))


async def _outcome(
    intake: Ingestor, delivery: IngestRequest
) -> IngestResult | ChargebackError | None:
    try:
        return await intake.ingest(delivery)
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
    trim_malloc()
    uvloop.run(_work(socket.socket(fileno=int(sys.argv[1]))))
