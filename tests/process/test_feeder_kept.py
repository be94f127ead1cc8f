"""The service's end of the process that stores events: what it does about one that fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import psutil
import pytest

from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.domain.ids import organization_id
from app.feed.ingest import Accepted
from app.feeder.keeping import Feeder, spawned
from app.settings import LogFormat, Settings
from app.web.observation import Observation, current, observation
from resolvers.feed import Delivery
from tests.conftest import NOW, event

OWN, OTHER = organization_id("default"), organization_id("other")


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


def delivery(*ids: str, of: UUID = OWN) -> Delivery:
    lines = [event("workspace.upserted", "2026-10-05T00:00:00Z", id=id, name=id) for id in ids]
    return Delivery(of, "application/x-ndjson", b"\n".join(lines), NOW)


async def until(met: Callable[[], bool], seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.02)):
        if met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


@asynccontextmanager
async def held_up(database: Database) -> AsyncIterator[None]:
    """No batch of the default organization is stored for the length of a block."""
    async with database.transaction(OWN) as tx:
        await tx.exec_driver_sql("SELECT 1 FROM organization FOR UPDATE")
        yield


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
    async with kept(database, silent_seconds=2) as feeder:
        async with held_up(database):
            waiting = asyncio.create_task(feeder.take(delivery("a")))
            await asyncio.sleep(4)

        assert await waiting == Accepted(1, 0)
        assert (feeder.is_up, feeder.restarts) == (True, 0)


async def asked(feeder: Feeder, request_id: str, delivery: Delivery) -> Accepted:
    """Taken within a request."""
    current.set(Observation(request_id, {}))
    return await feeder.take(delivery)


async def test_statements_are_told_to_the_request_that_they_were_executed_for(
    database: Database, other_organization: str
) -> None:
    told: list[tuple[str, str]] = []
    database.watchers.append(
        lambda executed: told.append((observation().request_id, executed.text))
    )
    async with kept(database) as feeder:
        await asyncio.gather(feeder.take(delivery("a")), feeder.take(delivery("b", of=OTHER)))
        alone = asyncio.create_task(asked(feeder, "alone", delivery("c", of=OTHER)))
        await alone
        async with held_up(database):
            waits = asyncio.create_task(asked(feeder, "waits", delivery("d")))
            await asyncio.sleep(0.5)
            overtakes = asyncio.create_task(asked(feeder, "overtakes", delivery("e", of=OTHER)))
            await overtakes
            shares = [
                asyncio.create_task(asked(feeder, name, delivery(name)))
                for name in ("first", "second")
            ]
            await asyncio.sleep(0.5)
        await asyncio.gather(waits, *shares)
        many = delivery(*map(str, range(1_000)))
        assert await asked(feeder, "many", many) == Accepted(1_000, 0)
        await until(lambda: any("ANALYZE" in text for _, text in told))

    counts = Counter(request_id for request_id, _ in told)
    assert counts["waits"] == counts["overtakes"] == counts["alone"] > 10
    assert (counts["first"], counts["second"]) == (counts["alone"], 0)
    # Of no request, though one batch was the last straw.
    assert {who for who, text in told if "ANALYZE" in text} == {"-"}
