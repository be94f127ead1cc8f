"""The service's end of the process that stores events: what it does about one that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil
import pytest

from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.domain.ids import organization_id
from app.feed.ingest import Accepted
from app.feeder.keeping import Feeder, spawned
from app.settings import LogFormat, Settings
from resolvers.feed import Delivery
from tests.conftest import NOW, event

OWN = organization_id("default")


@asynccontextmanager
async def kept(database: Database, silent_seconds: int = 30) -> AsyncIterator[Feeder]:
    """A process that takes deliveries, for the length of a block."""
    async with (
        spawned() as first,
        Feeder(first, database, Settings.load(), LogFormat.TEXT, silent_seconds) as feeder,
    ):
        await until(lambda: feeder.is_up)
        yield feeder


def its() -> psutil.Process:
    """The process."""
    (found,) = [
        each
        for each in psutil.Process().children()
        if "app.feeder" in " ".join(each.cmdline()) and each.status() != psutil.STATUS_ZOMBIE
    ]
    return found


def delivery(*ids: str) -> Delivery:
    lines = [event("workspace.upserted", "2026-10-05T00:00:00Z", id=id, name=id) for id in ids]
    return Delivery(OWN, "application/x-ndjson", b"\n".join(lines), NOW)


async def until(met: Callable[[], bool], seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.02)):
        if met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


async def test_one_that_is_silent_is_ended_and_another_started(database: Database) -> None:
    async with kept(database, silent_seconds=2) as feeder:
        silent = its()
        silent.suspend()
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await feeder.take(delivery("a"))
        assert not feeder.is_up
        await until(lambda: not silent.is_running())

        await until(lambda: feeder.is_up)
        assert await feeder.take(delivery("a")) == Accepted(1, 0)
        assert feeder.restarts == 1


async def test_one_that_is_at_work_for_longer_is_not(database: Database) -> None:
    async with kept(database, silent_seconds=2) as feeder, database.transaction(OWN) as tx:
        await tx.exec_driver_sql("SELECT 1 FROM organization FOR UPDATE")
        waiting = asyncio.create_task(feeder.take(delivery("a")))
        await asyncio.sleep(4)
        await tx.rollback()

        assert await waiting == Accepted(1, 0)
        assert (feeder.is_up, feeder.restarts) == (True, 0)
