"""MONTH_CLOSE_AFTER_DAYS: months close automatically, each by one process."""

import asyncio
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.months import Month
from app.services.months import AUTOMATIC_CLOSE_ACTOR, close_due_months, list_close_history
from app.services.organizations import find_organization
from tests.conftest import ClonedDatabase, Feed, FixedClock, event
from tests.server_process import ServerProcess, run_command

PROCESSES = 2


def first_event(month: Month) -> bytes:
    return event("workspace.upserted", f"{month}-02T00:00:00Z", name="lab")


async def test_concurrent_checks_close_each_month_once(postgres: str, template: str) -> None:
    clone = ClonedDatabase(postgres, template)
    async with clone as database:
        clock = FixedClock()
        await Feed(database, clock)(first_event(Month(2026, 8)))
        processes = [Database(clone.url, pool_size=1) for _ in range(8)]
        closed_by_process = await asyncio.gather(
            *(close_due_months(each, after_days=3, now=clock.now) for each in processes)
        )
        for each in processes:
            await each.close()

        months = [(DEFAULT_ORGANIZATION, Month(2026, number)) for number in (8, 9, 10)]
        assert sorted(closed for each in closed_by_process for closed in each) == months
        own = await find_organization(database, DEFAULT_ORGANIZATION)
        history = await list_close_history(database, own.organization_id)
    assert sorted(entry.month for entry in history) == [month for _, month in months]


def test_two_running_services_close_each_month_once(tmp_path: Path) -> None:
    last = Month.containing(datetime.now(UTC) - timedelta(days=1)).plus(-1)
    months = list(last.plus(-5).through(last))
    (tmp_path / "events").write_bytes(first_event(months[0]))
    imported = run_command("import", str(tmp_path / "events"), data_dir=tmp_path)
    assert imported.returncode == 0, imported.stderr

    def serve(_: int) -> ServerProcess:
        return ServerProcess(tmp_path, arguments=(), settings={"MONTH_CLOSE_AFTER_DAYS": "0"})

    with ThreadPoolExecutor(PROCESSES) as pool:
        services = list(pool.map(serve, range(PROCESSES)))
    try:
        deadline = time.monotonic() + 30
        while len(_closed(services)) < len(months) and time.monotonic() < deadline:
            time.sleep(0.1)
        history = asyncio.run(_close_history(tmp_path))
    finally:
        for service in services:
            service.stop()

    assert sorted(_closed(services)) == [str(month) for month in months]
    assert history == [(month.first_day, "CLOSED", AUTOMATIC_CLOSE_ACTOR) for month in months]


def _closed(services: list[ServerProcess]) -> list[str]:
    """Return the months that the services have logged as closed."""
    messages = [line for service in services for line in service.lines if '"month closed"' in line]
    return re.findall(r'"month": ?"(\d{4}-\d\d)"', "\n".join(messages))


async def _close_history(data_dir: Path) -> list[tuple[object, ...]]:
    owner = os.fsdecode((data_dir / "postgres/owner").read_bytes())
    connection = await asyncpg.connect(host=owner, user="postgres", database="chargeback")
    rows = await connection.fetch(
        "SELECT month, action, username FROM month_close_history ORDER BY month"
    )
    await connection.close()
    return [tuple(row) for row in rows]
