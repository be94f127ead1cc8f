"""The supervisor's end: start the workers, restart those that exit, and stop all of them."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence

from app import __version__
from app.domain.errors import ChargebackError
from app.server.http_server import GRACE_SECONDS
from app.server.web_workers.setup import WebWorkerSetup
from app.server.worker_process import VERSION_MISMATCH, Backoff, WorkerProcess

_log = logging.getLogger(__name__)

_MODULE = "app.server.web_workers.worker"
_STOP_SECONDS = 2.5 * GRACE_SECONDS
"""Running requests, and then the ingest worker of the worker, take up to `GRACE_SECONDS` each."""


async def run_web_workers(
    setup: WebWorkerSetup, listeners: Sequence[socket.socket], on_ready: Callable[[], None]
) -> None:
    """Run a worker on each socket until SIGINT or SIGTERM.

    A worker that exits is started again. Meanwhile connections to its socket wait, because this
    process keeps the sockets open.

    Args:
        setup: What the workers need; the first one runs the background jobs.
        listeners: A listening socket for each worker.
        on_ready: Called once all workers accept connections.

    Raises:
        ChargebackError: A worker cannot start with these settings.
    """
    stopping, ready = asyncio.Event(), [asyncio.Event() for _ in listeners]
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    workers = [
        asyncio.create_task(_keep_running(setup._replace(number=number), listener, each))
        for number, (listener, each) in enumerate(zip(listeners, ready, strict=True), start=1)
    ]
    announcing = asyncio.create_task(_announce(ready, on_ready))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([stop, *workers], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for listener in listeners:
            listener.close()
        for task in (announcing, stop, *workers):
            task.cancel()
        ended = await asyncio.gather(*workers, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _announce(ready: Sequence[asyncio.Event], on_ready: Callable[[], None]) -> None:
    for each in ready:
        await each.wait()
    on_ready()


async def _keep_running(
    setup: WebWorkerSetup, listener: socket.socket, ready: asyncio.Event
) -> None:
    """Run a worker, and start it again whenever it exits, until cancelled."""
    backoff = Backoff()
    while True:
        status = await _run_worker(setup, listener, ready)
        if status == VERSION_MISMATCH:
            _log.error(
                "the installed files are not those of version %s, which is running: restart the "
                "service; until then a worker that exited is missing",
                __version__,
            )
            await asyncio.Event().wait()
        _log.error("a web worker exited with status %s", status)
        await asyncio.sleep(backoff.next(time.monotonic()))


async def _run_worker(
    setup: WebWorkerSetup, listener: socket.socket, ready: asyncio.Event
) -> int | None:
    """Run a worker until it exits; return its exit status.

    Raises:
        ChargebackError: It could not start, for this reason.
    """
    worker = await WorkerProcess.start(_MODULE, [listener.fileno()])
    try:
        await worker.channel.send(setup)
        while received := await worker.channel.receive():
            if isinstance(received[0], ChargebackError) and not ready.is_set():
                raise received[0]
            ready.set()
    except OSError:
        pass  # It has exited.
    finally:
        await worker.stop(_STOP_SECONDS)
    return worker.process.returncode
