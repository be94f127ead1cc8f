"""Event ingestion under load while PostgreSQL is paused, killed or blocked by a lock.

Batches that cannot be stored get 503 in time, and the memory of the service stays bounded.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import asyncpg
import httpx
import pytest

from tests.conftest import event
from tests.process.faults import (
    postmaster_pid,
    process_and_children,
    wait_for_new_postmaster,
)
from tests.server_process import ServerProcess, run_command

CLIENTS = 16
EVENTS_PER_BATCH = 5_000
MAX_REJECTION_SECONDS = 4
MAX_LOCKED_REJECTION_SECONDS = 8
"""A batch waits five seconds for the lock; batches queued behind it wait no longer."""
MAX_ADDED_MEGABYTES = 250


class BatchResult(NamedTuple):
    sent_at: float
    seconds: float
    status: int
    retry_after: str | None


@dataclass
class LoadGenerator:
    """Clients that send large batches during a `with` block, each until it is stored."""

    url: str
    key: str
    results: list[BatchResult] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)

    def __enter__(self) -> "LoadGenerator":
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, client_number: int) -> None:
        with httpx.Client(timeout=60) as client:
            batch_number = 0
            while not self._stopped.is_set():
                name = f"{client_number}-{batch_number}"
                if self._send(client, _create_batch(name)):
                    self.stored.append(name)
                    batch_number += 1
                else:
                    time.sleep(0.2)

    def _send(self, client: httpx.Client, body: bytes) -> bool:
        """Send a batch, and return whether it was stored."""
        sent_at = time.monotonic()
        headers = {"Authorization": self.key, "Content-Type": "application/x-ndjson"}
        response = client.post(f"{self.url}/api/events", content=body, headers=headers)
        self.results.append(
            BatchResult(
                sent_at,
                time.monotonic() - sent_at,
                response.status_code,
                response.headers.get("Retry-After"),
            )
        )
        return response.status_code == 200

    def wait_until_stored(self, since: float, timeout_seconds: float) -> None:
        """Wait until a batch that was sent after `since` is stored."""
        while time.monotonic() < since + timeout_seconds:
            if any(each.status == 200 and each.sent_at > since for each in list(self.results)):
                return
            time.sleep(0.05)
        raise AssertionError(f"nothing stored within {timeout_seconds} s: {self.results[-5:]}")


def _create_batch(name: str) -> bytes:
    return b"\n".join(
        event("usage.recorded", "2026-10-05T00:00:00Z", id=f"{name}-{number}", source="/pressure",
              username=f"user-{number % 200}", channel="sdk")
        for number in range(EVENTS_PER_BATCH)
    )  # fmt: skip


@dataclass
class Install:
    server: ServerProcess
    key: str

    @property
    def data_dir(self) -> Path:
        return self.server.data_dir

    @property
    def socket_folder(self) -> str:
        return os.fsdecode((self.data_dir / "postgres/owner").read_bytes())

    def resident_megabytes(self) -> float:
        """Return the resident memory of the service and its ingest worker."""
        return self.server.resident_bytes() / 2**20


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    folder = tmp_path_factory.mktemp("pressure")
    with ServerProcess(folder, arguments=()) as server:
        created = run_command(
            "keys", "create", "--user", "connector", "--scope", "events:write", data_dir=folder
        )
        yield Install(server, created.stdout.removeprefix("API key: ").strip())
        verified = run_command("months", "verify", "2026-10", data_dir=folder)
        assert verified.stdout == "2026-10 matches its events\n", verified.stderr


@pytest.fixture
def load(installed: Install) -> Iterator[LoadGenerator]:
    """Clients that send batches; afterwards, check that every acknowledged batch is stored."""
    with LoadGenerator(installed.server.url, installed.key) as load:
        load.wait_until_stored(time.monotonic(), 30)
        yield load
    stored = asyncio.run(_count_events(installed.socket_folder, load.stored))
    assert stored == len(load.stored) * EVENTS_PER_BATCH
    assert {result.status for result in load.results} == {200, 503}
    assert {each.retry_after for each in load.results if each.status == 503} == {"2"}


async def _count_events(socket_folder: str, names: list[str]) -> int:
    """Return how many events of the named batches are stored."""
    connection = await asyncpg.connect(host=socket_folder, user="postgres", database="chargeback")
    ids = [f"{name}-{number}" for name in names for number in range(EVENTS_PER_BATCH)]
    count = await connection.fetchval("SELECT count(*) FROM event WHERE id = ANY($1)", ids)
    await connection.close()
    return int(count)


def test_while_postgres_is_paused_batches_get_503_in_time_and_memory_stays_bounded(
    installed: Install, load: LoadGenerator
) -> None:
    before = installed.resident_megabytes()
    paused = process_and_children(postmaster_pid(installed.data_dir))
    paused_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(6)
    during = installed.resident_megabytes()
    resumed_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGCONT)

    load.wait_until_stored(resumed_at, 15)
    assert during - before < MAX_ADDED_MEGABYTES
    rejected = [each for each in load.results if paused_at + 1 < each.sent_at < resumed_at - 2]
    assert {result.status for result in rejected} == {503}
    assert max(result.seconds for result in rejected) < MAX_REJECTION_SECONDS


def test_after_postgres_is_killed_batches_get_503_until_it_is_back(
    installed: Install, load: LoadGenerator
) -> None:
    pid = postmaster_pid(installed.data_dir)
    os.kill(pid, signal.SIGKILL)
    wait_for_new_postmaster(installed.data_dir, pid)

    load.wait_until_stored(time.monotonic(), 15)


async def test_batches_that_wait_too_long_for_a_lock_get_503(
    installed: Install, load: LoadGenerator
) -> None:
    holder = await asyncpg.connect(
        host=installed.socket_folder, user="postgres", database="chargeback"
    )
    before = installed.resident_megabytes()
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM organization FOR UPDATE")
        locked_at = time.monotonic()
        await asyncio.sleep(14)
        during = installed.resident_megabytes()
        released_at = time.monotonic()
    await holder.close()

    await asyncio.to_thread(load.wait_until_stored, released_at, 15)
    assert during - before < MAX_ADDED_MEGABYTES
    rejected = [
        result
        for result in load.results
        if locked_at + 1 < result.sent_at < released_at - MAX_LOCKED_REJECTION_SECONDS
    ]
    assert {result.status for result in rejected} == {503}
    assert max(result.seconds for result in rejected) < MAX_LOCKED_REJECTION_SECONDS
