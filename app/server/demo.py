"""Load the demo organization into an empty store, month end included.

The history is imported, priced and closed up to the last month but one, as an admin would do it.
Then the events of the last days before the close arrive, as if a connector had been down: the
last month, still open, books them as corrections.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

import orjson
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.clock import system_clock
from app.console import stderr
from app.db.engine import Database
from app.demo.generate import DEMO_ADMIN, DEMO_SEED, OrganizationShape, generate_events
from app.demo.rate_card import demo_rate_card
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import ChargebackError
from app.domain.months import Month
from app.ingest.store import CHUNK_SIZE
from app.services.file_import import import_lines
from app.services.key_loader import KeyLoader
from app.services.keys import create_key
from app.services.months import close_month
from app.services.organizations import find_organization
from app.services.rate_card_file import apply_rate_card, parse_rate_card
from app.services.sessions import authenticate_key
from app.settings import Settings

_KEY_FILE = "demo.key"
_LATE_DAYS = timedelta(days=7)


async def prepare_demo(database: Database, settings: Settings, data_dir: Path) -> str:
    """Load the demo organization into an empty store; return a valid key of its admin."""
    organization = await find_organization(database, DEFAULT_ORGANIZATION)
    if organization.first_month is None:
        await load_demo(database, organization.organization_id, system_clock())
    key_file = data_dir / _KEY_FILE
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
        scopes=[Scope.ADMIN, Scope.DIRECTORY_WRITE],
        label="demo",
        expires_at=None,
        now=system_clock(),
    )
    return str(created.text)


async def load_demo(database: Database, organization_id: UUID, now: datetime) -> None:
    """Load the history that ends now; close it, and let a few events arrive after the close."""
    current, shape = Month.containing(now), OrganizationShape()
    closing = current.plus(-2)
    late: list[bytes] = []
    lines = generate_events(shape, seed=DEMO_SEED, until=now)
    await _import(database, organization_id, _hold_back(lines, closing, late), now)
    rate_card = parse_rate_card(demo_rate_card(current.plus(-shape.months), current))
    await apply_rate_card(database, organization_id, rate_card, by=OPERATOR, now=now)
    await close_month(database, organization_id, closing, by=OPERATOR, now=now)
    await import_lines(database, organization_id, [late], now)


def _hold_back(lines: Iterable[bytes], month: Month, late: list[bytes]) -> Iterator[bytes]:
    """Move the experiments of the month's last days to `late`; yield everything else."""
    for line in lines:
        is_late = b'"experiment.' in line and _is_at_end_of(month, orjson.loads(line)["time"])
        if is_late:
            late.append(line)
        else:
            yield line


def _is_at_end_of(month: Month, time: str) -> bool:
    return month.end - _LATE_DAYS <= datetime.fromisoformat(time) < month.end


async def _import(
    database: Database, organization_id: UUID, lines: Iterator[bytes], now: datetime
) -> None:
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
