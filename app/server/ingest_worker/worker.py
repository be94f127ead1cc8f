"""The worker's end: store the batches that arrive, and respond to each."""

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


async def _run(end: socket.socket) -> None:
    """Store batches until the service closes the channel."""
    channel = await Channel.open(end)
    if (received := await channel.receive()) is None:
        return
    setup: Setup = received[0]
    configure_logs(setup.log_format, setup.log_level.upper())
    database = Database(
        setup.url,
        pool_size=setup.connections,
        prepared_statements=setup.prepared_statements,
    )
    statements = StatementLog()
    database.statement_listeners.append(statements.record)
    tune_gc()
    try:
        async with database.monitor.run():
            heartbeats = asyncio.create_task(_send_heartbeats(channel, statements))
            await handle_requests(channel, GroupCommitIngestor(database, setup.max_batch_rows))
            heartbeats.cancel()
    finally:
        await database.close()


class StatementLog:
    """The executed statements, by the request in whose context they ran."""

    def __init__(self) -> None:
        self._unattributed: list[ExecutedStatement] = []

    def record(self, executed: ExecutedStatement) -> None:
        """Record a statement for the current request, or for none."""
        of_request = _request_statements.get()
        (self._unattributed if of_request is None else of_request).append(executed)

    def take_unattributed(self) -> Sequence[ExecutedStatement]:
        """Return and forget the statements that belong to no request."""
        taken, self._unattributed = self._unattributed, []
        return taken


_request_statements: ContextVar[list[ExecutedStatement] | None] = ContextVar(
    "statements", default=None
)


async def _send_heartbeats(channel: Channel, statements: StatementLog) -> None:
    with suppress(OSError):
        while True:
            await channel.send(Heartbeat(statements.take_unattributed()))
            await asyncio.sleep(_HEARTBEAT_SECONDS)


_HEARTBEAT_SECONDS = 1.0


async def handle_requests(channel: Channel, ingestor: Ingestor) -> None:
    """Store requests concurrently and respond to each, until the channel is closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(request: WorkerRequest, body: bytes) -> None:
        statements: list[ExecutedStatement] = []
        _request_statements.set(statements)
        with structlog.contextvars.bound_contextvars(**request.log_context):
            outcome = await _ingest(ingestor, request.request._replace(body=body))
        with suppress(OSError):  # The service may have stopped waiting.
            await _respond(channel, WorkerResponse(request.number, outcome, statements))

    while received := await channel.receive():
        task = asyncio.create_task(handle(*received))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)


async def _respond(channel: Channel, response: WorkerResponse) -> None:
    try:
        await channel.send(response)
    except OSError:
        raise
    except Exception:
        _log.exception("unexpected error while sending a response")
        await channel.send(response._replace(outcome=None))


async def _ingest(
    ingestor: Ingestor, request: IngestRequest
) -> IngestResult | ChargebackError | None:
    try:
        return await ingestor.ingest(request)
    except ChargebackError as error:
        return error
    except Exception:
        _log.exception("unexpected error while storing events")
        return None


def main() -> None:
    """Run the worker on the socket whose file descriptor is the first argument."""
    # Process managers signal all processes of a service; the worker stops when its channel closes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    trim_malloc()
    uvloop.run(_run(socket.socket(fileno=int(sys.argv[1]))))
