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
from sqlalchemy import text

from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.domain.ids import organization_id
from app.ingest.store import IngestResult
from app.observability.request_record import RequestRecord, current_record, get_current_record
from app.server.ingest_worker.channel import Channel
from app.server.ingest_worker.supervisor import IngestWorkerClient, start_worker
from app.server.worker_process import Backoff, WorkerProcess
from app.services.group_commit import IngestRequest
from app.settings import LogFormat, Settings
from tests.conftest import NOW, event

OWN, OTHER = organization_id("default"), organization_id("other")
_LOCK = text("SELECT 1 FROM organization WHERE organization_id = :own FOR UPDATE")


@asynccontextmanager
async def run_client(
    database: Database, heartbeat_timeout_seconds: int = 30
) -> AsyncIterator[IngestWorkerClient]:
    """Run a worker and its client until the block ends."""
    async with (
        start_worker() as first,
        IngestWorkerClient(
            first, database, Settings.load(), LogFormat.TEXT, heartbeat_timeout_seconds
        ) as client,
    ):
        await wait_for(lambda: client.is_up)
        yield client


def worker_process() -> psutil.Process:
    """Return the running worker process of this test process."""
    (worker,) = [
        each
        for each in psutil.Process().children()
        if "app.server.ingest_worker" in " ".join(each.cmdline())
        and each.status() != psutil.STATUS_ZOMBIE
    ]
    return worker


def make_request(*ids: str, of: UUID = OWN) -> IngestRequest:
    lines = [event("workspace.upserted", "2026-10-05T00:00:00Z", id=id, name=id) for id in ids]
    return IngestRequest(of, "application/x-ndjson", b"\n".join(lines), NOW)


async def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


@asynccontextmanager
async def block_writes(database: Database) -> AsyncIterator[None]:
    """Block writes of the default organization until the block ends."""
    async with database.transaction(OWN) as tx:
        await tx.execute(_LOCK, {"own": OWN})
        yield


async def test_a_silent_worker_is_killed_and_restarted(database: Database) -> None:
    async with run_client(database, heartbeat_timeout_seconds=4) as client:
        silent = worker_process()
        silent.suspend()
        async with asyncio.timeout(30):
            with pytest.raises(StoreUnavailable):
                await client.ingest(make_request("a"))
        assert not client.is_up
        await wait_for(lambda: not silent.is_running())

        await wait_for(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)
        assert client.restarts == 1


async def test_a_worker_gets_more_time_until_its_first_heartbeat(database: Database) -> None:
    client_end, worker_end = socket.socketpair()
    silent = await asyncio.create_subprocess_exec("sleep", "60")
    first = WorkerProcess(silent, await Channel.open(client_end))
    async with IngestWorkerClient(first, database, Settings.load(), LogFormat.TEXT, 3) as client:
        await asyncio.sleep(4)  # Longer than the heartbeat timeout of a started worker.
        assert silent.returncode is None
        await wait_for(lambda: silent.returncode is not None)
        worker_end.close()

        await wait_for(lambda: client.is_up)
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
        await wait_for(lambda: client.is_up)
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
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        waiting.clear()
        gc.collect()

    assert set(map(type, outcomes)) == {StoreUnavailable}
    assert "never retrieved" not in caplog.text


async def test_a_worker_that_sends_garbage_is_restarted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    client_end, worker_end = socket.socketpair()
    process = await asyncio.create_subprocess_exec("sleep", "1")
    broken = WorkerProcess(process, await Channel.open(client_end))
    async with IngestWorkerClient(broken, database, Settings.load(), LogFormat.TEXT) as client:
        waiting = asyncio.create_task(client.ingest(make_request("a")))
        await asyncio.sleep(0.1)
        worker_end.sendall(struct.pack(">QQ", 3, 0) + b"no!")
        with pytest.raises(StoreUnavailable):
            await waiting

        await wait_for(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)
    worker_end.close()
    assert "unexpected error while receiving from the ingest worker" in caplog.text


@contextmanager
def limit_open_files(files: int) -> Iterator[None]:
    """Allow only this many more open files until the block ends."""
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
    with limit_open_files(files), pytest.raises(OSError, match="Too many open files"):
        await WorkerProcess.start("app.server.ingest_worker.worker")

    assert psutil.Process().num_fds() == before
    assert not any(
        "app.server.ingest_worker" in " ".join(e.cmdline()) for e in psutil.Process().children()
    )


async def test_a_failed_start_is_retried(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_client(database) as client:
        worker_process().kill()
        with limit_open_files(0):
            await wait_for(lambda: "the ingest worker cannot be started" in caplog.text)
        await wait_for(lambda: client.is_up)
        assert await client.ingest(make_request("a")) == IngestResult(1, 0)


def test_backoff_grows_while_workers_exit_early_and_resets_after_a_long_run() -> None:
    backoff = Backoff()
    now, delays = 0.0, []
    for run_seconds in (0, 0, 0, 0, 0, 0, 9, 11, 11, 0):
        now += run_seconds
        delays.append(backoff.next(now))
        now += delays[-1]

    assert delays == [1, 2, 4, 8, 10, 10, 10, 1, 1, 2]


async def test_a_busy_worker_is_not_killed(database: Database) -> None:
    async with run_client(database, heartbeat_timeout_seconds=2) as client:
        async with block_writes(database):
            waiting = asyncio.create_task(client.ingest(make_request("a")))
            await asyncio.sleep(3)

        assert await waiting == IngestResult(1, 0)
        assert (client.is_up, client.restarts) == (True, 0)


async def ingest_as(
    client: IngestWorkerClient, request_id: str, request: IngestRequest
) -> IngestResult:
    """Ingest as part of the request with this id."""
    current_record.set(RequestRecord(request_id, {}))
    return await client.ingest(request)


async def test_statements_are_attributed_to_their_requests(
    database: Database, other_organization: str
) -> None:
    statements: list[tuple[str, str]] = []
    database.statement_listeners.append(
        lambda executed: statements.append((get_current_record().request_id, executed.text))
    )
    async with run_client(database) as client:
        await asyncio.gather(
            client.ingest(make_request("a")), client.ingest(make_request("b", of=OTHER))
        )
        alone = asyncio.create_task(ingest_as(client, "alone", make_request("c", of=OTHER)))
        await alone
        async with block_writes(database):
            blocked = asyncio.create_task(ingest_as(client, "blocked", make_request("d")))
            await asyncio.sleep(0.5)
            concurrent = asyncio.create_task(
                ingest_as(client, "concurrent", make_request("e", of=OTHER))
            )
            await concurrent
            grouped = [
                asyncio.create_task(ingest_as(client, name, make_request(name)))
                for name in ("first", "second")
            ]
            await asyncio.sleep(0.5)
        await asyncio.gather(blocked, *grouped)
        many = make_request(*map(str, range(1_000)))
        assert await ingest_as(client, "many", many) == IngestResult(1_000, 0)
        await wait_for(lambda: any("ANALYZE" in text for _, text in statements))

    counts = Counter(request_id for request_id, _ in statements)
    assert counts["blocked"] == counts["concurrent"] == counts["alone"] > 10
    # Two batches in one group commit: its statements belong to the first request.
    assert (counts["first"], counts["second"]) == (counts["alone"], 0)
    # ANALYZE belongs to no request, although a batch triggered it.
    assert {request_id for request_id, text in statements if "ANALYZE" in text} == {"-"}
