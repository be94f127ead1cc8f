"""`chargeback serve`: start everything the service needs, serve, and stop it in order."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from app.clock import system_clock
from app.console import stderr
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import StoreUnavailable
from app.observability.logs import configure_logs, log
from app.server.demo import prepare_demo
from app.server.http_server import HttpServer
from app.server.ingest_worker.supervisor import IngestWorkerClient, start_worker
from app.server.listeners import bind
from app.server.process_tuning import trim_malloc
from app.server.store import open_store
from app.server.web_workers.setup import WebWorkerSetup
from app.server.web_workers.supervisor import run_web_workers
from app.server.welcome import print_welcome
from app.services.audit import record_start
from app.services.keys import list_keys
from app.services.organizations import find_organization
from app.settings import LogFormat, Settings


def _log_format(settings: Settings) -> LogFormat:
    default = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    return settings.log_format or default


async def serve(
    settings: Settings, *, host: str, port: int, data_dir: Path, demo: bool, workers: int = 1
) -> None:
    """Open the store, load the demo organization if requested, and serve until a signal."""
    trim_malloc()
    log_format = _log_format(settings)
    configure_logs(log_format, settings.log_level.upper())
    with bind(host, port, workers) as listeners:
        stderr.print("Starting PostgreSQL …" if settings.database_url is None else "Connecting …")
        # Started first, because it takes a second to be ready. Web workers have their own.
        ingest_worker = start_worker() if workers == 1 else nullcontext()
        async with (
            ingest_worker as process,
            open_store(settings, data_dir, system_clock) as database,
            database.monitor.run(),
        ):
            key = await prepare_demo(database, settings, data_dir) if demo else None
            await _record_start(database, settings)
            address = f"http://{_format_host(host)}:{listeners[0].getsockname()[1]}"
            is_empty = key is None and await _is_empty(database)
            on_ready = partial(print_welcome, address, key, data_dir if is_empty else None)
            if process is None:
                with TemporaryDirectory(prefix="chargeback-") as folder:
                    setup = WebWorkerSetup(
                        settings, database.url, data_dir, log_format, metrics_dir=Path(folder)
                    )
                    await run_web_workers(setup, listeners, on_ready)
            else:
                async with IngestWorkerClient(process, database, settings, log_format) as client:
                    server = HttpServer(settings, database, client, on_ready)
                    await server.run_until_stopped(listeners[0])
            stderr.print("Stopping …")


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
