"""`chargeback serve`: start everything the service needs, serve, and stop it in order."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import UUID

import uvicorn
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import __version__
from app.clock import system_clock
from app.console import stderr, stdout
from app.db.engine import Database
from app.demo.generate import DEMO_ADMIN, OrganizationShape, generate_events
from app.demo.rate_card import demo_rate_card
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import ChargebackError
from app.domain.months import Month
from app.ingest.store import CHUNK_SIZE
from app.main import create_app
from app.observability.logs import configure_logs
from app.observability.metrics import Metrics
from app.server.background_jobs import BackgroundJobs
from app.server.http_protocol import BoundedHttpProtocol
from app.server.ingest_worker.supervisor import IngestWorkerClient, start_worker
from app.server.process_tuning import trim_malloc, tune_gc
from app.server.source_scheduler import schedule_sources
from app.server.store import open_store
from app.services.audit import record_start
from app.services.file_import import import_lines
from app.services.key_loader import KeyLoader
from app.services.keys import create_key
from app.services.organizations import find_organization
from app.services.rate_card_file import apply_rate_card, parse_rate_card
from app.services.sessions import authenticate_key
from app.settings import LogFormat, Settings

DEMO_SEED = 2026
_DEMO_KEY_FILE = "demo.key"
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
            key = await _prepare_demo(database, settings, data_dir) if demo else None
            await record_start(database, settings, system_clock())
            address = f"http://{_format_host(host)}:{listener.getsockname()[1]}"
            print_welcome = partial(_print_welcome, address, key)
            await _run_server(database, settings, worker, listener, print_welcome)
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


async def _prepare_demo(database: Database, settings: Settings, data_dir: Path) -> str | None:
    """Load the demo organization into an empty store; return a valid key of its admin."""
    organization = await find_organization(database, DEFAULT_ORGANIZATION)
    if organization.first_month is None:
        await _load_demo(database, organization.organization_id)
    key_file = data_dir / _DEMO_KEY_FILE
    key = key_file.read_text().strip() if key_file.is_file() else ""
    try:
        (await authenticate_key(KeyLoader(database), key, settings, system_clock())).require(
            Scope.ADMIN
        )
    except ChargebackError:
        key = await _create_demo_key(database, organization.organization_id)
        _write_key_file(key_file, key)
    return key


def _write_key_file(file: Path, key: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(f"{key}\n")


async def _create_demo_key(database: Database, organization_id: UUID) -> str:
    created = await create_key(
        database,
        organization_id,
        username=DEMO_ADMIN,
        scopes=[Scope.ADMIN],
        label="demo",
        expires_at=None,
        now=system_clock(),
    )
    return str(created.text)


async def _load_demo(database: Database, organization_id: UUID) -> None:
    now = system_clock()
    lines = generate_events(OrganizationShape(), seed=DEMO_SEED, until=now)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr) as progress:
        task = progress.add_task("Loading the demo organization …")

        def chunks() -> Iterator[list[bytes]]:
            count = 0
            while chunk := list(islice(lines, CHUNK_SIZE)):
                yield chunk
                count += len(chunk)
                description = f"Loading the demo organization … {count:,} events"
                progress.update(task, description=description)

        await import_lines(database, organization_id, chunks(), now)
    current = Month.containing(now)
    rate_card = parse_rate_card(demo_rate_card(current.plus(-OrganizationShape().months), current))
    await apply_rate_card(database, organization_id, rate_card, by=OPERATOR, now=now)


def _print_welcome(address: str, key: str | None) -> None:
    """Print what a newcomer needs next. Scripts read the line with the key."""
    last_month = Month.containing(system_clock()).plus(-1)
    report = f"{address}/api/admin/chargeback/report?reportMonth={last_month}"
    lines = [
        f"Chargeback admin API {__version__} is ready.",
        f"GraphiQL: {address}/graphql",
        f"REST: {report}",
    ]
    if key is not None:
        lines += [
            f"API key: {key}",
            "Sign in to GraphiQL with the key, or try:",
            f"  curl -sS -H 'Authorization: {key}' '{report}'",
        ]
    stdout.print("\n".join(lines))
    stderr.print("Ctrl-C stops it.")
