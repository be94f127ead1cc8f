"""The worker's end: serve requests on the inherited socket until the channel closes."""

import asyncio
import logging
import signal
import socket
import sys
from contextlib import suppress

import uvloop

from app.db.engine import Database
from app.domain.errors import ChargebackError
from app.observability.logs import configure_logs
from app.postgres.free_space import create_reserve
from app.server.http_server import HttpServer
from app.server.ingest_worker.channel import Channel
from app.server.ingest_worker.supervisor import IngestWorkerClient, start_worker
from app.server.process_tuning import trim_malloc
from app.server.web_workers.metrics import WorkerMetrics
from app.server.web_workers.setup import Ready, WebWorkerSetup

_log = logging.getLogger(__name__)


async def _run(end: socket.socket, listener: socket.socket) -> None:
    channel = await Channel.open(end)
    if (received := await channel.receive()) is None:
        return
    try:
        await _serve(received[0], channel, listener)
    except ChargebackError as error:
        _log.error("a web worker cannot run: %s", error)
        with suppress(OSError):
            await channel.send(error)


async def _serve(setup: WebWorkerSetup, channel: Channel, listener: socket.socket) -> None:
    settings = setup.settings
    configure_logs(setup.log_format, settings.log_level.upper())
    database = _open_database(setup)
    try:
        async with (
            start_worker() as process,
            database.monitor.run(),
            IngestWorkerClient(process, database, settings, setup.log_format) as ingestor,
        ):
            ready = asyncio.Event()
            server = HttpServer(
                settings,
                database,
                ingestor,
                ready.set,
                handles_signals=False,
                has_jobs=setup.number == 1,
            )
            shared = WorkerMetrics(
                setup.metrics_dir, setup.number, server.metrics.of_process.collect
            )
            server.metrics.gather = shared.gather
            talk = asyncio.create_task(_report_and_await_end(channel, ready, server))
            try:
                async with shared.serve():
                    await server.run_until_stopped(listener)
            finally:
                talk.cancel()
    finally:
        await database.close()


def _open_database(setup: WebWorkerSetup) -> Database:
    settings = setup.settings
    database = Database(
        setup.url,
        pool_size=settings.database_pool_size,
        shared_snapshots=settings.database_shared_snapshots,
        prepared_statements=settings.database_prepared_statements,
    )
    if settings.database_url is None:
        reserve = settings.free_space_reserve_mb
        database.require_free_space = create_reserve(setup.data_dir, reserve)
    return database


async def _report_and_await_end(
    channel: Channel, ready: asyncio.Event, server: HttpServer
) -> None:
    """Tell the supervisor that the server is ready; stop it once the supervisor hangs up."""
    await ready.wait()
    with suppress(OSError):
        await channel.send(Ready())
    while await channel.receive():
        pass
    server.should_exit = True


def main() -> None:
    """Run the worker on the file descriptors in the arguments: its channel and its socket."""
    # Process managers signal all processes of a service; the supervisor stops the workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    trim_malloc()
    end, listener = (socket.socket(fileno=int(each)) for each in sys.argv[1:])
    uvloop.run(_run(end, listener))
