"""`chargeback serve`: start everything the service needs, serve, and stop it in order."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn

from app.clock import system_clock
from app.console import stderr
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, StoreUnavailable
from app.main import create_app
from app.observability.logs import configure_logs, log
from app.observability.metrics import Metrics
from app.server.background_jobs import BackgroundJobs
from app.server.demo import prepare_demo
from app.server.http_protocol import BoundedHttpProtocol
from app.server.ingest_worker.supervisor import IngestWorkerClient, start_worker
from app.server.process_tuning import trim_malloc, tune_gc
from app.server.source_scheduler import schedule_sources
from app.server.store import open_store
from app.server.welcome import print_welcome
from app.services.audit import record_start
from app.services.keys import list_keys
from app.services.organizations import find_organization
from app.settings import LogFormat, Settings

_GRACE_SECONDS = 10


class PortTaken(ChargebackError):
    """The address to listen on is in use or not available."""

    code, status = "PORT_TAKEN", 503


def _log_format(settings: Settings) -> LogFormat:
    default = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    return settings.log_format or default


async def serve(settings: Settings, *, host: str, port: int, data_dir: Path, demo: bool) -> None:
    """Open the store, load the demo organization if requested, and serve until a signal."""
    trim_malloc()
    log_format = _log_format(settings)
    configure_logs(log_format, settings.log_level.upper())
    with _bind(host, port) as listener:
        stderr.print("Starting PostgreSQL …" if settings.database_url is None else "Connecting …")
        async with (
            start_worker() as process,
            open_store(settings, data_dir, system_clock) as database,
            database.monitor.run(),
            IngestWorkerClient(process, database, settings, log_format) as worker,
        ):
            key = await prepare_demo(database, settings, data_dir) if demo else None
            await _record_start(database, settings)
            address = f"http://{_format_host(host)}:{listener.getsockname()[1]}"
            is_empty = key is None and await _is_empty(database)
            on_ready = partial(print_welcome, address, key, data_dir if is_empty else None)
            await _run_server(database, settings, worker, listener, on_ready)
            stderr.print("Stopping …")


async def _run_server(
    database: Database,
    settings: Settings,
    worker: IngestWorkerClient,
    listener: socket.socket,
    on_ready: Callable[[], None],
) -> None:
    """Serve requests and run background jobs until a signal."""
    app = create_app(settings, database, ingestor=worker)
    config = uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        log_level="warning",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    metrics: Metrics = app.state.chargeback.metrics
    jobs = BackgroundJobs(
        database, settings, clock=system_clock, on_clock_jump=metrics.count_clock_jump
    )
    jobs_task = asyncio.create_task(jobs.run())
    tune_gc()
    async with schedule_sources(database, settings.sources_file):
        await _Server(config, on_ready).serve(sockets=[listener])
    jobs_task.cancel()
    await asyncio.wait([jobs_task])


class _Server(uvicorn.Server):
    """A server that reports when it is ready and leaves shutdown after a signal to its caller."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again, as uvicorn does: PostgreSQL still runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


@contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the address before anything else starts."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise PortTaken(
            f"Cannot listen on {host}:{port}: {reason}. Choose another with --port."
        ) from None
    with listener:
        listener.setblocking(False)
        yield listener


def _format_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _record_start(database: Database, settings: Settings) -> None:
    """Record the start in the audit log, unless the node of the default organization is away."""
    try:
        await record_start(database, settings, system_clock())
    except StoreUnavailable:
        log.warning("the start could not be recorded in the audit log")


async def _is_empty(database: Database) -> bool:
    """Return whether the store is known to have neither months nor keys yet."""
    try:
        organization = await find_organization(database, DEFAULT_ORGANIZATION)
    except StoreUnavailable:
        return False
    keys = await list_keys(database, organization.organization_id)
    return organization.first_month is None and not keys
