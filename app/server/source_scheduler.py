"""What the service does by itself: sources of SOURCES_FILE, each at its interval."""

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

_LOOK_SECONDS = 15
_log = logging.getLogger(__name__)


@asynccontextmanager
async def sources_at_intervals(database: Database, file: Path | None) -> AsyncIterator[None]:
    """Run the sources of the file, if there is one, for the length of the block.

    Several processes may do so: a source that one of them runs is left alone by the others.

    Raises:
        InvalidArgument: The file cannot be read, or says something that it must not.
    """
    running = asyncio.create_task(_run_due(database, read_source_configs(file) if file else []))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _run_due(database: Database, connections: Sequence[SourceConfig]) -> None:
    """Run what is due, one source at a time, until cancelled."""
    while any(connection.every for connection in connections):
        try:
            for connection in await find_due_sources(database, connections, system_clock()):
                await _run(database, connection)
        except StoreUnavailable:
            _log.info("The store is away; sources are run when it is back.")
        await asyncio.sleep(_LOOK_SECONDS)


async def _run(database: Database, connection: SourceConfig) -> None:
    """What stops one source is in its run, and does not stop the others."""
    try:
        run = await run_source(database, connection, clock=system_clock, progress=lambda *_: None)
    except SourceBusy:
        return
    except ChargebackError as error:
        _say(f"Source {connection.name}: {error}")
    except Exception:
        _log.exception("Source %s failed.", connection.name)
    else:
        total = run.total
        _say(f"Source {connection.name}: {total.accepted} events, {run.skipped_count} skipped.")


def _say(line: str) -> None:
    stderr.print(line)
