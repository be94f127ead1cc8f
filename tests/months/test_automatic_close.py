"""MONTH_CLOSE_AFTER_DAYS: months close automatically, each by one process."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.db.engine import Database
from app.db.organizations import lock_organization
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.months import Month
from app.server.background_jobs import START_SECONDS, BackgroundJobs
from app.services.months import AUTOMATIC_CLOSE_ACTOR, close_due_months, list_close_history
from app.services.organizations import find_organization
from app.settings import Settings
from tests.conftest import ClonedDatabase, Feed, FixedClock, event


def first_event(month: Month) -> bytes:
    return event("workspace.upserted", f"{month}-02T00:00:00Z", name="lab")


def raise_failure(_: str, error: Exception) -> None:
    raise error


async def test_concurrent_checks_close_each_month_once(postgres: str, template: str) -> None:
    clone = ClonedDatabase(postgres, template)
    async with clone as database:
        clock = FixedClock()
        await Feed(database, clock)(first_event(Month(2026, 8)))
        processes = [Database(clone.url, pool_size=1) for _ in range(8)]
        closed_by_process = await asyncio.gather(
            *(
                close_due_months(each, after_days=3, now=clock.now, on_failure=raise_failure)
                for each in processes
            )
        )
        for each in processes:
            await each.close()

        months = [(DEFAULT_ORGANIZATION, Month(2026, number)) for number in (8, 9, 10)]
        assert sorted(closed for each in closed_by_process for closed in each) == months
        own = await find_organization(database, DEFAULT_ORGANIZATION)
        history = await list_close_history(database, own.organization_id)
    assert sorted(entry.month for entry in history) == [month for _, month in months]


async def test_an_organization_with_nothing_to_close_is_not_locked(database: Database) -> None:
    clock = FixedClock(datetime(2026, 10, 15, tzinfo=UTC))
    await Feed(database, clock)(first_event(Month(2026, 8)))
    own = await find_organization(database, DEFAULT_ORGANIZATION)
    failed: list[str] = []

    async def close_due(now: datetime) -> list[Month]:
        closed = await close_due_months(
            database, after_days=3, now=now, on_failure=lambda name, _: failed.append(name)
        )
        return [month for _, month in closed]

    assert await close_due(clock.now) == [Month(2026, 8), Month(2026, 9)]
    # Nothing has arrived after the end of October, so October stays open.
    async with database.transaction(own.organization_id) as tx:
        await lock_organization(tx, own.organization_id)
        assert await close_due(clock.now + timedelta(days=40)) == []
    assert failed == []


async def test_the_background_jobs_of_two_services_close_each_month_once(
    postgres: str, template: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clone, clock, seconds = ClonedDatabase(postgres, template), FixedClock(), [0.0]
    async with clone as database:
        await Feed(database, clock)(first_event(Month(2026, 5)))
        stores = [Database(clone.url, pool_size=2) for _ in range(2)]
        jobs = [
            BackgroundJobs(
                store,
                Settings.load(month_close_after_days=0),
                clock=clock,
                boot_time=lambda: seconds[0],
                on_clock_jump=pytest.fail,
            )
            for store in stores
        ]
        seconds[0] = START_SECONDS
        clock.now += timedelta(seconds=START_SECONDS)
        await asyncio.gather(*(each.poll() for each in jobs))
        for store in stores:
            await store.close()
        own = await find_organization(database, DEFAULT_ORGANIZATION)
        history = await list_close_history(database, own.organization_id)

    months = [Month(2026, number) for number in range(5, 11)]
    logged = [
        record.__dict__["month"] for record in caplog.records if record.message == "month closed"
    ]
    assert sorted(logged) == [str(month) for month in months]
    assert [(each.month, each.action, each.username) for each in reversed(history)] == [
        (month, "CLOSED", AUTOMATIC_CLOSE_ACTOR) for month in months
    ]
