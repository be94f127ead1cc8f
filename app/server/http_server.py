"""Serve HTTP in one process: uvicorn on a socket, and the background jobs."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import uvicorn

from app.clock import system_clock
from app.db.engine import Database
from app.main import create_app
from app.observability.metrics import Metrics
from app.server.background_jobs import BackgroundJobs
from app.server.http_protocol import BoundedHttpProtocol
from app.server.process_tuning import tune_gc
from app.server.source_scheduler import schedule_sources
from app.settings import Settings
from app.web.ingestor import Ingestor

GRACE_SECONDS = 10
"""How long running requests may take after the signal to stop."""


class HttpServer(uvicorn.Server):
    """A server that reports when it is ready and leaves shutdown after a signal to its caller.

    Args:
        settings: The settings of this installation.
        database: The store.
        ingestor: Stores events.
        on_ready: Called once connections are accepted.
        handles_signals: Whether SIGINT and SIGTERM stop it; otherwise only `should_exit` does.
        has_jobs: Whether this process runs the background jobs and the sources.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        ingestor: Ingestor,
        on_ready: Callable[[], None],
        *,
        handles_signals: bool = True,
        has_jobs: bool = True,
    ) -> None:
        app = create_app(settings, database, ingestor=ingestor)
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                log_level="warning",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
            )
        )
        self._settings, self._database = settings, database
        self.metrics: Metrics = app.state.chargeback.metrics
        self._on_ready = on_ready
        self._handles_signals, self._has_jobs = handles_signals, has_jobs

    async def run_until_stopped(self, listener: socket.socket) -> None:
        """Serve requests and run background jobs until a signal or `should_exit`."""
        tune_gc()
        async with AsyncExitStack() as jobs:
            if self._has_jobs:
                task = asyncio.create_task(self._create_jobs().run())
                jobs.push_async_callback(_cancel, task)
                await jobs.enter_async_context(
                    schedule_sources(self._database, self._settings.sources_file)
                )
            await self.serve(sockets=[listener])

    def _create_jobs(self) -> BackgroundJobs:
        return BackgroundJobs(
            self._database,
            self._settings,
            clock=system_clock,
            on_clock_jump=self.metrics.count_clock_jump,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then report it."""
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again, as uvicorn does: PostgreSQL still runs."""
        if self._handles_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
