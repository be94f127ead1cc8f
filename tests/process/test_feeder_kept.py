"""The service's end of the process that stores events: what it does about one that fails."""

import asyncio
import gc
import os
import resource
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import psutil
import pytest

from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.domain.ids import organization_id
from app.ingest.store import IngestResult
from app.observability.request_record import RequestRecord, current_record, get_current_record
from app.server.ingest_worker.channel import Channel
from app.server.ingest_worker.supervisor import Backoff, IngestWorkerClient, WorkerProcess, spawned
from app.services.group_commit import IngestRequest
from app.settings import LogFormat, Settings
from tests.conftest import NOW, event

OWN, OTHER = organization_id("default"), organization_id("other")


@asynccontextmanager
async def kept(database: Database, silent_seconds: int = 30) -> AsyncIterator[IngestWorkerClient]:
    """A process that takes deliveries, for the length of a block."""
    async with (
        spawned() as first,
        IngestWorkerClient(
            first, database, Settings.load(), LogFormat.TEXT, silent_seconds
        ) as feeder,
    ):
        await until(lambda: feeder.is_up)
        yield feeder


def its() -> psutil.Process:
    """The process."""
    (found,) = [
        each
        for each in psutil.Process().children()
        if "app.server.ingest_worker" in " ".join(each.cmdline())
        and each.status() != psutil.STATUS_ZOMBIE
    ]
    return found


def delivery(*ids: str, of: UUID = OWN) -> IngestRequest:
    lines = [event("workspace.upserted", "2026-10-05T00:00:00Z", id=id, name=id) for id in ids]
    return IngestRequest(of, "application/x-ndjson", b"\n".join(lines), NOW)


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
                await feeder.ingest(delivery("a"))
        assert not feeder.is_up
        await until(lambda: not silent.is_running())

        await until(lambda: feeder.is_up)
        assert await feeder.ingest(delivery("a")) == IngestResult(1, 0)
        assert feeder.restarts == 1


async def test_one_that_never_says_anything_is_ended_later_and_another_started(
    database: Database,
) -> None:
    ours, its_end = socket.socketpair()
    mute = await asyncio.create_subprocess_exec("sleep", "60")
    first = WorkerProcess(mute, await Channel.over(ours))
    async with IngestWorkerClient(first, database, Settings.load(), LogFormat.TEXT, 1) as feeder:
        await asyncio.sleep(2)  # Longer than one may be silent that has spoken before.
        assert mute.returncode is None
        await until(lambda: mute.returncode is not None)
        its_end.close()

        await until(lambda: feeder.is_up)
        assert await feeder.ingest(delivery("a")) == IngestResult(1, 0)


async def test_one_that_ends_before_it_is_ready_is_replaced(database: Database) -> None:
    async with (
        spawned() as first,
        IngestWorkerClient(first, database, Settings.load(), LogFormat.TEXT) as feeder,
    ):
        waiting = asyncio.create_task(feeder.ingest(delivery("a")))
        await asyncio.sleep(0.01)
        assert not feeder.is_up
        first.process.kill()

        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await feeder.ingest(delivery("a"))
        await until(lambda: feeder.is_up)
        assert await feeder.ingest(delivery("a")) == IngestResult(1, 0)


async def test_one_that_dies_while_a_body_is_on_its_way_leaves_no_error_behind(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(database) as feeder:
        its().suspend()
        large = delivery("a")._replace(body=b" " * 8_000_000)
        waiting = [
            asyncio.create_task(feeder.ingest(each)) for each in (delivery("b"), large, large)
        ]
        await asyncio.sleep(0.2)
        its().kill()
        told = {type(e) for e in await asyncio.gather(*waiting, return_exceptions=True)}
        waiting.clear()
        gc.collect()

    assert told == {StoreUnavailable}
    assert "never retrieved" not in caplog.text


async def test_one_that_says_what_nobody_understands_is_replaced(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ours, its_end = socket.socketpair()
    short = await asyncio.create_subprocess_exec("sleep", "1")
    broken = WorkerProcess(short, await Channel.over(ours))
    async with IngestWorkerClient(broken, database, Settings.load(), LogFormat.TEXT) as feeder:
        waiting = asyncio.create_task(feeder.ingest(delivery("a")))
        await asyncio.sleep(0.1)
        its_end.sendall(struct.pack(">QQ", 3, 0) + b"no!")
        with pytest.raises(StoreUnavailable):
            await waiting

        await until(lambda: feeder.is_up)
        assert await feeder.ingest(delivery("a")) == IngestResult(1, 0)
    its_end.close()
    assert "unexpected error while the feed's process was listened to" in caplog.text


@contextmanager
def room_for(files: int) -> Iterator[None]:
    """No more files than so many can be opened within a block."""
    free = [os.dup(0) for _ in range(files + 1)]
    for each in free:
        os.close(each)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("files", [0, 2, 4])
async def test_one_that_cannot_be_started_leaves_nothing_behind(files: int) -> None:
    before = psutil.Process().num_fds()
    with room_for(files), pytest.raises(OSError, match="Too many open files"):
        await WorkerProcess.start()

    assert psutil.Process().num_fds() == before
    assert not any(
        "app.server.ingest_worker" in " ".join(e.cmdline()) for e in psutil.Process().children()
    )


async def test_one_that_cannot_be_started_is_tried_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(database) as feeder:
        its().kill()
        with room_for(0):
            await until(lambda: "the feed's process cannot be started" in caplog.text)
        await until(lambda: feeder.is_up)
        assert await feeder.ingest(delivery("a")) == IngestResult(1, 0)


def test_pauses_grow_while_it_dies_again_at_once_and_are_short_after_it_has_lived() -> None:
    pauses = Backoff()
    now, told = 0.0, []
    for lived in (0, 0, 0, 0, 0, 0, 9, 11, 11, 0):
        now += lived
        told.append(pauses.next(now))
        now += told[-1]

    assert told == [1, 2, 4, 8, 10, 10, 10, 1, 1, 2]


async def test_one_that_is_at_work_for_longer_is_not(database: Database) -> None:
    async with kept(database, silent_seconds=2) as feeder:
        async with held_up(database):
            waiting = asyncio.create_task(feeder.ingest(delivery("a")))
            await asyncio.sleep(3)

        assert await waiting == IngestResult(1, 0)
        assert (feeder.is_up, feeder.restarts) == (True, 0)


async def asked(
    feeder: IngestWorkerClient, request_id: str, delivery: IngestRequest
) -> IngestResult:
    """Taken within a request."""
    current_record.set(RequestRecord(request_id, {}))
    return await feeder.ingest(delivery)


async def test_statements_are_told_to_the_request_that_they_were_executed_for(
    database: Database, other_organization: str
) -> None:
    told: list[tuple[str, str]] = []
    database.statement_listeners.append(
        lambda executed: told.append((get_current_record().request_id, executed.text))
    )
    async with kept(database) as feeder:
        await asyncio.gather(feeder.ingest(delivery("a")), feeder.ingest(delivery("b", of=OTHER)))
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
        assert await asked(feeder, "many", many) == IngestResult(1_000, 0)
        await until(lambda: any("ANALYZE" in text for _, text in told))

    counts = Counter(request_id for request_id, _ in told)
    assert counts["waits"] == counts["overtakes"] == counts["alone"] > 10
    assert (counts["first"], counts["second"]) == (counts["alone"], 0)
    # Of no request, though one batch was the last straw.
    assert {who for who, text in told if "ANALYZE" in text} == {"-"}
