"""Supervision of the ingest worker: heartbeats, restarts, backoff and failures."""

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
from app.server.ingest_worker.supervisor import (
    Backoff,
    IngestWorkerClient,
    WorkerProcess,
    start_worker,
)
from app.services.group_commit import IngestRequest
from app.settings import LogFormat, Settings
from tests.conftest import NOW, event

OWN, OTHER = organization_id("default"), organization_id("other")


@asynccontextmanager
async def run_client(
    database: Database, heartbeat_timeout_seconds: int = 30
) -> AsyncIterator[IngestWorkerClient]:
    """Run a worker and its client for the length of a block."""
    async with (
        start_worker() as first,
        IngestWorkerClient(
            first, database, Settings.load(), LogFormat.TEXT, heartbeat_timeout_seconds
        ) as client,
    ):
        await until(lambda: client.is_up)
        yield client


def worker_process() -> psutil.Process:
    """Return the running worker process of this test process."""
    (found,) = [
        each
        for each in psutil.Process().children()
        if "app.server.ingest_worker" in " ".join(each.cmdline())
        and each.status() != psutil.STATUS_ZOMBIE
    ]
    return found


def make_request(*ids: str, of: UUID = OWN) -> IngestRequest:
    lines = [event("workspace.upserted", "2026-10-05T00:00:00Z", id=id, name=id) for id in ids]
    return IngestRequest(of, "application/x-ndjson", b"\n".join(lines), NOW)


async def until(met: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.02)):
        if met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


@asynccontextmanager
async def blocked_writes(database: Database) -> AsyncIterator[None]:
    """Block writes of the default organization for the length of a block."""
    async with database.transaction(OWN) as tx:
        await tx.exec_driver_sql("SELECT 1 FROM organization FOR UPDATE")
        yield


async def test_a_silent_worker_is_killed_and_restarted(database: Database) -> None:
    async with run_client(database, heartbeat_timeout_seconds=4) as client:
        silent = worker_process()
        silent.suspend()
        async with asyncio.timeout(30):
            with pytest.raises(StoreUnavailable):
                await client.ingest(make_request("a"))
        assert not client.is_up
        await until(lambda: not silent.is_running())

        await until(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)
        assert client.restarts == 1


async def test_a_worker_without_a_first_heartbeat_has_longer_before_it_is_restarted(
    database: Database,
) -> None:
    ours, its_end = socket.socketpair()
    mute = await asyncio.create_subprocess_exec("sleep", "60")
    first = WorkerProcess(mute, await Channel.open(ours))
    async with IngestWorkerClient(first, database, Settings.load(), LogFormat.TEXT, 3) as client:
        await asyncio.sleep(4)  # Longer than a worker that has started may be silent.
        assert mute.returncode is None
        await until(lambda: mute.returncode is not None)
        its_end.close()

        await until(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)


async def test_a_worker_that_exits_before_it_is_ready_is_restarted(database: Database) -> None:
    async with (
        start_worker() as first,
        IngestWorkerClient(first, database, Settings.load(), LogFormat.TEXT) as client,
    ):
        waiting = asyncio.create_task(client.ingest(make_request("a")))
        await asyncio.sleep(0.01)
        assert not client.is_up
        first.process.kill()

        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await client.ingest(make_request("a"))
        await until(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)


async def test_a_worker_killed_during_a_send_fails_the_requests_cleanly(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_client(database) as client:
        worker_process().suspend()
        large = make_request("a")._replace(body=b" " * 8_000_000)
        waiting = [
            asyncio.create_task(client.ingest(each)) for each in (make_request("b"), large, large)
        ]
        await asyncio.sleep(0.2)
        worker_process().kill()
        told = {type(e) for e in await asyncio.gather(*waiting, return_exceptions=True)}
        waiting.clear()
        gc.collect()

    assert told == {StoreUnavailable}
    assert "never retrieved" not in caplog.text


async def test_a_worker_that_sends_garbage_is_restarted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ours, its_end = socket.socketpair()
    short = await asyncio.create_subprocess_exec("sleep", "1")
    broken = WorkerProcess(short, await Channel.open(ours))
    async with IngestWorkerClient(broken, database, Settings.load(), LogFormat.TEXT) as client:
        waiting = asyncio.create_task(client.ingest(make_request("a")))
        await asyncio.sleep(0.1)
        its_end.sendall(struct.pack(">QQ", 3, 0) + b"no!")
        with pytest.raises(StoreUnavailable):
            await waiting

        await until(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)
    its_end.close()
    assert "unexpected error while receiving from the ingest worker" in caplog.text


@contextmanager
def file_limit(files: int) -> Iterator[None]:
    """Limit the number of files that can be opened within a block."""
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
async def test_a_failed_start_leaks_no_files_and_no_processes(files: int) -> None:
    before = psutil.Process().num_fds()
    with file_limit(files), pytest.raises(OSError, match="Too many open files"):
        await WorkerProcess.start()

    assert psutil.Process().num_fds() == before
    assert not any(
        "app.server.ingest_worker" in " ".join(e.cmdline()) for e in psutil.Process().children()
    )


async def test_a_failed_start_is_retried(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_client(database) as client:
        worker_process().kill()
        with file_limit(0):
            await until(lambda: "the ingest worker cannot be started" in caplog.text)
        await until(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)


def test_backoff_grows_while_the_worker_exits_early_and_resets_after_it_has_lived() -> None:
    backoff = Backoff()
    now, told = 0.0, []
    for lived in (0, 0, 0, 0, 0, 0, 9, 11, 11, 0):
        now += lived
        told.append(backoff.next(now))
        now += told[-1]

    assert told == [1, 2, 4, 8, 10, 10, 10, 1, 1, 2]


async def test_a_busy_worker_is_not_killed(database: Database) -> None:
    async with run_client(database, heartbeat_timeout_seconds=2) as client:
        async with blocked_writes(database):
            waiting = asyncio.create_task(client.ingest(make_request("a")))
            await asyncio.sleep(3)

        assert await waiting == IngestResult(1, 0)
        assert (client.is_up, client.restarts) == (True, 0)


async def ingest_as(
    client: IngestWorkerClient, request_id: str, request: IngestRequest
) -> IngestResult:
    """Ingest within a request that has this id."""
    current_record.set(RequestRecord(request_id, {}))
    return await client.ingest(request)


async def test_statements_are_attributed_to_their_requests(
    database: Database, other_organization: str
) -> None:
    told: list[tuple[str, str]] = []
    database.statement_listeners.append(
        lambda executed: told.append((get_current_record().request_id, executed.text))
    )
    async with run_client(database) as client:
        await asyncio.gather(
            client.ingest(make_request("a")), client.ingest(make_request("b", of=OTHER))
        )
        alone = asyncio.create_task(ingest_as(client, "alone", make_request("c", of=OTHER)))
        await alone
        async with blocked_writes(database):
            waits = asyncio.create_task(ingest_as(client, "waits", make_request("d")))
            await asyncio.sleep(0.5)
            overtakes = asyncio.create_task(
                ingest_as(client, "overtakes", make_request("e", of=OTHER))
            )
            await overtakes
            shares = [
                asyncio.create_task(ingest_as(client, name, make_request(name)))
                for name in ("first", "second")
            ]
            await asyncio.sleep(0.5)
        await asyncio.gather(waits, *shares)
        many = make_request(*map(str, range(1_000)))
        assert await ingest_as(client, "many", many) == IngestResult(1_000, 0)
        await until(lambda: any("ANALYZE" in text for _, text in told))

    counts = Counter(request_id for request_id, _ in told)
    assert counts["waits"] == counts["overtakes"] == counts["alone"] > 10
    assert (counts["first"], counts["second"]) == (counts["alone"], 0)
    # Of no request, though one batch was the last straw.
    assert {who for who, text in told if "ANALYZE" in text} == {"-"}
