"""The service's end: start, watch and restart the worker, and send it requests."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from app.server.worker_process import VERSION_MISMATCH, Backoff, WorkerProcess, kill
from app.services.group_commit import IngestRequest
from app.settings import LogFormat, Settings

_log = logging.getLogger(__name__)

_CONNECTIONS = 4
"""To PostgreSQL: one for each organization that is being written, and a few to spare."""
_HEARTBEAT_TIMEOUT_SECONDS = 30
"""The worker's event loop blocks for about a second on the largest body that is allowed."""
_STARTUP_FACTOR = 4
"""The first heartbeat may take longer: imports take a second, or a minute on a starved CPU."""
_MODULE = "app.server.ingest_worker.worker"


@asynccontextmanager
async def start_worker() -> AsyncIterator[WorkerProcess]:
    """Run a worker for the length of a block. Start it early: it takes a second to be ready."""
    worker = await WorkerProcess.start(_MODULE)
    try:
        yield worker
    finally:
        await worker.stop()


class IngestWorkerClient:
    """An `Ingestor` that sends requests to the worker, and restarts it when it exits.

    Args:
        first: The first worker process.
        database: The store; its observers also receive the worker's statements.
        settings: The settings of this installation.
        log_format: The format of the worker's log.
        heartbeat_timeout_seconds: Kill a worker after this time without a heartbeat. A worker
            that is starting has four times as long.
    """

    def __init__(
        self,
        first: WorkerProcess,
        database: Database,
        settings: Settings,
        log_format: LogFormat,
        heartbeat_timeout_seconds: int = _HEARTBEAT_TIMEOUT_SECONDS,
    ) -> None:
        self._setup = Setup(
            url=database.url,
            connections=min(_CONNECTIONS, settings.database_pool_size),
            prepared_statements=settings.database_prepared_statements,
            max_batch_rows=settings.feed_max_batch_rows,
            log_format=log_format,
            log_level=settings.log_level,
        )
        self._report = database.notify_listeners
        self._first = first
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._backoff = Backoff()
        self._channel: Channel | None = None
        self._messages_received = 0
        self._numbers = count()
        self._pending: dict[int, asyncio.Future[WorkerResponse | None]] = {}
        self.restarts = 0
        """How often the worker was restarted."""

    async def __aenter__(self) -> Self:
        await self._connect(self._first)
        self._supervisor = asyncio.create_task(self._supervise(self._first))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])

    @property
    def is_up(self) -> bool:
        """Whether the worker runs and has sent its first heartbeat."""
        return self._channel is not None and self._messages_received > 0

    async def ingest(self, request: IngestRequest) -> IngestResult:
        """Store a batch.

        Raises:
            StoreUnavailable: The store is down, or the worker is not running or exits meanwhile.
        """
        channel = self._channel
        response = await self._send(channel, request) if channel is not None else None
        if response is None:
            raise StoreUnavailable
        for executed in response.statements:
            self._report(executed)
        return _unwrap(response)

    async def _send(self, channel: Channel, request: IngestRequest) -> WorkerResponse | None:
        """Return the worker's response, or None if the worker exits first."""
        number = next(self._numbers)
        pending: asyncio.Future[WorkerResponse | None] = asyncio.get_running_loop().create_future()
        self._pending[number] = pending
        log_context = structlog.contextvars.get_contextvars()
        message = WorkerRequest(number, request._replace(body=b""), log_context)
        try:
            await channel.send(message, request.body)
            return await pending
        except OSError:
            return None
        finally:
            del self._pending[number]

    async def _supervise(self, worker: WorkerProcess) -> None:
        """Receive messages, and restart the worker whenever it exits, until cancelled."""
        try:
            while await self._run_until_exit(worker) != VERSION_MISMATCH:
                _log.error("the ingest worker exited with status %s", worker.process.returncode)
                worker = await self._restart()
            _log.error(
                "the installed files are not those of version %s, which is running: restart the "
                "service; until then it accepts no events",
                __version__,
            )
        except Exception:
            _log.exception("unexpected error: the ingest worker is no longer supervised")
        finally:
            await worker.stop()

    async def _restart(self) -> WorkerProcess:
        while True:
            await asyncio.sleep(self._backoff.next(time.monotonic()))
            try:
                worker = await WorkerProcess.start(_MODULE)
            except Exception:
                _log.exception("the ingest worker cannot be started")
            else:
                self.restarts += 1
                await self._connect(worker)
                return worker

    async def _connect(self, worker: WorkerProcess) -> None:
        with suppress(OSError):  # `_receive_all` notices that the worker has exited.
            await worker.channel.send(self._setup)
        self._messages_received = 0
        self._channel = worker.channel

    async def _run_until_exit(self, worker: WorkerProcess) -> int | None:
        """Receive messages until the worker exits or is killed; return its exit status."""
        watchdog = asyncio.create_task(self._watch_heartbeats(worker.process))
        try:
            await self._receive_all(worker.channel)
        finally:
            watchdog.cancel()
        await worker.stop()
        return worker.process.returncode

    async def _watch_heartbeats(self, process: asyncio.subprocess.Process) -> None:
        """Kill the worker if it sends nothing for too long.

        Count seconds by sleeping, not by a clock: while our own event loop is blocked, heartbeats
        wait unread and must not count as missed.
        """
        silent_seconds, seen = 0, self._messages_received
        while silent_seconds < self._heartbeat_timeout_seconds * (1 if seen else _STARTUP_FACTOR):
            await asyncio.sleep(1)
            silent_seconds = silent_seconds + 1 if self._messages_received == seen else 0
            seen = self._messages_received
        _log.error("the ingest worker sent no heartbeat for %s s: killing it", silent_seconds)
        await kill(process)

    async def _receive_all(self, channel: Channel) -> None:
        """Handle messages until the worker exits; then fail the pending requests."""
        try:
            while received := await channel.receive():
                self._messages_received += 1
                self._handle(received[0])
        except Exception:
            _log.exception("unexpected error while receiving from the ingest worker")
        finally:
            self._channel = None
            for pending in self._pending.values():
                if not pending.done():
                    pending.set_result(None)

    def _handle(self, message: WorkerResponse | Heartbeat) -> None:
        if isinstance(message, Heartbeat):
            for executed in message.statements:
                self._report(executed)
            return
        pending = self._pending.get(message.number)
        if pending is not None and not pending.done():
            pending.set_result(message)


def _unwrap(response: WorkerResponse) -> IngestResult:
    if isinstance(response.outcome, ChargebackError):
        raise response.outcome
    if response.outcome is None:
        raise RuntimeError("Unexpected error in the ingest worker; its log has the traceback.")
    return response.outcome
