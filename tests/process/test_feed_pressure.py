"""The feed while PostgreSQL is paused, killed, or held up: refusals in time, bounded memory."""

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
from tests.process.test_faults import family, postmaster, wait_for_another
from tests.server_process import ServerProcess, run_command

CLIENTS = 16
EVENTS_PER_BATCH = 5_000
REFUSED_SECONDS = 4
LOCKED_SECONDS = 8
"""A batch waits five seconds for its turn, and no batch behind it waits for another."""
MOST_MORE_MEGABYTES = 250


class Answer(NamedTuple):
    asked_at: float
    seconds: float
    status: int
    retry_after: str | None


@dataclass
class Pressing:
    """Clients that send large batches all the time, in a block; each again until it is stored."""

    url: str
    key: str
    answers: list[Answer] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)

    def __enter__(self) -> "Pressing":
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, client_number: int) -> None:
        with httpx.Client(timeout=60) as client:
            batch_number = 0
            while not self._stopped.is_set():
                name = f"{client_number}-{batch_number}"
                if self._ask(client, _batch(name)):
                    self.stored.append(name)
                    batch_number += 1
                else:
                    time.sleep(0.2)

    def _ask(self, client: httpx.Client, body: bytes) -> bool:
        asked_at = time.monotonic()
        headers = {"Authorization": self.key, "Content-Type": "application/x-ndjson"}
        answer = client.post(f"{self.url}/api/events", content=body, headers=headers)
        self.answers.append(
            Answer(
                asked_at,
                time.monotonic() - asked_at,
                answer.status_code,
                answer.headers.get("Retry-After"),
            )
        )
        return answer.status_code == 200

    def until_stored(self, since: float, patience_seconds: float) -> None:
        """Wait for an answer that says so to a batch that was sent after a moment."""
        while time.monotonic() < since + patience_seconds:
            if any(a.status == 200 and a.asked_at > since for a in list(self.answers)):
                return
            time.sleep(0.05)
        raise AssertionError(f"nothing stored within {patience_seconds} s: {self.answers[-5:]}")


def _batch(name: str) -> bytes:
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

    def megabytes(self) -> float:
        """What the service holds in memory."""
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
def pressing(installed: Install) -> Iterator[Pressing]:
    """Clients at work, and the proof that what they were told is stored is."""
    with Pressing(installed.server.url, installed.key) as pressing:
        pressing.until_stored(time.monotonic(), 30)
        yield pressing
    stored = asyncio.run(_count(installed.socket_folder, pressing.stored))
    assert stored == len(pressing.stored) * EVENTS_PER_BATCH
    assert {answer.status for answer in pressing.answers} == {200, 503}
    assert {a.retry_after for a in pressing.answers if a.status == 503} == {"2"}


async def _count(socket_folder: str, names: list[str]) -> int:
    connection = await asyncpg.connect(host=socket_folder, user="postgres", database="chargeback")
    ids = [f"{name}-{number}" for name in names for number in range(EVENTS_PER_BATCH)]
    found = await connection.fetchval("SELECT count(*) FROM event WHERE id = ANY($1)", ids)
    await connection.close()
    return int(found)


def test_a_paused_postgres_is_a_refusal_in_time_and_memory_stays_bounded(
    installed: Install, pressing: Pressing
) -> None:
    before = installed.megabytes()
    paused = family(postmaster(installed.data_dir))
    paused_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(6)
    most = installed.megabytes()
    resumed_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGCONT)

    pressing.until_stored(resumed_at, 15)
    assert most - before < MOST_MORE_MEGABYTES
    meanwhile = [a for a in pressing.answers if paused_at + 1 < a.asked_at < resumed_at - 2]
    assert {answer.status for answer in meanwhile} == {503}
    assert max(answer.seconds for answer in meanwhile) < REFUSED_SECONDS


def test_a_killed_postgres_is_a_refusal_until_it_is_back(
    installed: Install, pressing: Pressing
) -> None:
    ended = postmaster(installed.data_dir)
    os.kill(ended, signal.SIGKILL)
    wait_for_another(installed.data_dir, ended)

    pressing.until_stored(time.monotonic(), 15)


async def test_a_feed_that_is_held_up_refuses_rather_than_waits(
    installed: Install, pressing: Pressing
) -> None:
    holder = await asyncpg.connect(
        host=installed.socket_folder, user="postgres", database="chargeback"
    )
    before = installed.megabytes()
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM organization FOR UPDATE")
        held_at = time.monotonic()
        await asyncio.sleep(14)
        most = installed.megabytes()
        freed_at = time.monotonic()
    await holder.close()

    await asyncio.to_thread(pressing.until_stored, freed_at, 15)
    assert most - before < MOST_MORE_MEGABYTES
    meanwhile = [
        a for a in pressing.answers if held_at + 1 < a.asked_at < freed_at - LOCKED_SECONDS
    ]
    assert {answer.status for answer in meanwhile} == {503}
    assert max(answer.seconds for answer in meanwhile) < LOCKED_SECONDS
