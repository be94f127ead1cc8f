"""Run the sources of SOURCES_FILE, each at its interval."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from app.clock import system_clock
from app.console import stderr
from app.db.engine import Database
from app.domain.errors import ChargebackError, SourceBusy, StoreUnavailable
from app.services.source_config import (
    SourceConfig,
    find_due_sources,
    read_source_configs,
    run_source,
)

_POLL_SECONDS = 15
_log = logging.getLogger(__name__)


@asynccontextmanager
async def schedule_sources(database: Database, file: Path | None) -> AsyncIterator[None]:
    """Run the sources of a file, if there is one, while the block lasts.

    Several processes may do so at a time: each run is done by one of them.

    Raises:
        InvalidArgument: The file cannot be read or is invalid.
    """
    configs = read_source_configs(file) if file else []
    scheduler = asyncio.create_task(_run_due_sources(database, configs))
    try:
        yield
    finally:
        scheduler.cancel()
        await asyncio.gather(scheduler, return_exceptions=True)


async def _run_due_sources(database: Database, configs: Sequence[SourceConfig]) -> None:
    """Run due sources, one at a time, until cancelled."""
    while any(config.every for config in configs):
        try:
            for config in await find_due_sources(database, configs, system_clock()):
                await _run_source(database, config)
        except StoreUnavailable:
            _log.info("The store is unavailable; sources run again when it is back.")
        await asyncio.sleep(_POLL_SECONDS)


async def _run_source(database: Database, config: SourceConfig) -> None:
    """Run a source. Its failure is recorded in the run and does not stop other sources."""
    try:
        run = await run_source(database, config, clock=system_clock, progress=lambda *_: None)
    except SourceBusy:
        return
    except ChargebackError as error:
        _print(f"Source {config.name}: {error}")
    except Exception:
        _log.exception("Source %s failed.", config.name)
    else:
        total = run.total
        _print(f"Source {config.name}: {total.accepted} events, {run.skipped_count} skipped.")


def _print(line: str) -> None:
    stderr.print(line)
