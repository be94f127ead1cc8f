"""Repeated `kill -9`: acknowledged batches are stored exactly once, and no batch in part.

`CRASH_ROUNDS` sets the number of rounds: 5 by default, 100 in `make test-long`.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import event
from tests.process.faults import postmaster_pid, wait_for_new_postmaster
from tests.server_process import ServerProcess, run_command

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "5"))
CLIENTS = 4
MONTHS = ("2026-08", "2026-09", "2026-10")
SEED = 20_261_124


@dataclass
class Sender:
    """A client that sends numbered batches and repeats each until it is acknowledged.

    Attributes:
        sent: The ids of the events of each batch that was sent at least once.
        acknowledged: The batches that got 200.
        unexpected: Responses other than 200 or 503 with `Retry-After`.
    """

    name: str
    key: str
    seed: int
    url: str = ""
    sent: dict[int, list[str]] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    resent: int = 0
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  no secret
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stopped.is_set():
                number = len(self.sent)
                self.bodies[number], self.sent[number] = self._create_batch(number)
                while not self._stopped.is_set() and not self.send(client, number):
                    self.resent += 1
                    time.sleep(0.05)

    def send(self, client: httpx.Client, number: int) -> bool:
        """Send a batch once, and return whether it was acknowledged."""
        headers = {"Authorization": self.key, "Content-Type": "application/x-ndjson"}
        try:
            response = client.post(
                f"{self.url}/api/events", content=self.bodies[number], headers=headers
            )
        except httpx.HTTPError:
            return False
        if response.status_code == 200:
            self.acknowledged.add(number)
        elif (response.status_code, response.headers.get("Retry-After")) != (503, "2"):
            self.unexpected.append(f"{response.status_code} {response.text}")
        return response.status_code == 200

    def _create_batch(self, number: int) -> tuple[bytes, list[str]]:
        """Return a batch of random events and their ids."""
        ids = [f"{number}-{each}" for each in range(self._random.randint(1, 60))]
        return b"\n".join(self._create_event(id) for id in ids), ids

    def _create_event(self, id: str) -> bytes:
        at = f"{self._random.choice(MONTHS)}-{self._random.randint(1, 28):02}T00:00:00Z"
        username = f"user-{self._random.randint(1, 30)}"
        experiment = f"e-{self._random.randint(1, 200)}"
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("usage.recorded", {"username": username, "channel": "sdk", "count": 3}),
            ("user.upserted", {"username": username, "email": f"{username}@x.test"}),
            ("experiment.created", {"experiment": experiment, "workspace": "w", "project": "p",
                                    "username": username}),
            ("experiment.resized", {"experiment": experiment, "sizeBytes": 1_000_000}),
            ("experiment.deleted", {"experiment": experiment}),
        ]  # fmt: skip
        kind, data = self._random.choice(kinds)
        return event(kind, at, id=id, source=f"/{self.name}", **data)


@dataclass
class Install:
    """A service whose processes can be killed and restarted, and its store."""

    data_dir: Path
    server: ServerProcess

    def kill_service(self) -> None:
        self.server.kill()
        self.server = ServerProcess(self.data_dir, arguments=())

    def kill_ingest_worker(self) -> None:
        worker = self.server.ingest_worker
        worker.kill()
        worker.wait(10)

    def kill_postgres(self) -> None:
        pid = postmaster_pid(self.data_dir)
        os.kill(pid, signal.SIGKILL)
        wait_for_new_postmaster(self.data_dir, pid)

    async def count_stored_events(self) -> Counter[tuple[str, str]]:
        """Return how often each event is stored, by source and id."""
        owner = os.fsdecode((self.data_dir / "postgres/owner").read_bytes())
        deadline = time.monotonic() + 30
        while True:
            with suppress(asyncpg.PostgresError, OSError):
                connection = await asyncpg.connect(
                    host=owner, user="postgres", database="chargeback"
                )
                rows = await connection.fetch("SELECT source, id FROM event")
                await connection.close()
                return Counter((row["source"], row["id"]) for row in rows)
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Install]:
    installed = Install(tmp_path, ServerProcess(tmp_path, arguments=()))
    yield installed
    installed.server.stop()


def assert_batches_are_whole(senders: list[Sender], stored: Counter[tuple[str, str]]) -> None:
    """Assert that batches are stored whole or not at all, and acknowledged ones exactly once."""
    assert not {each: count for each, count in stored.items() if count > 1}
    for sender in senders:
        for number, ids in list(sender.sent.items()):
            count = sum(stored[f"/{sender.name}", id] for id in ids)
            expected = {len(ids)} if number in sender.acknowledged else {0, len(ids)}
            assert count in expected, (sender.name, number, count, len(ids))


@pytest.mark.timeout(60 + 30 * ROUNDS)
async def test_kill_9_loses_no_acknowledged_batch_and_stores_none_in_part(
    installed: Install,
) -> None:
    created = run_command(
        "keys", "create", "--user", "connector", "--scope", "events:write",
        data_dir=installed.data_dir,
    )  # fmt: skip
    key = created.stdout.removeprefix("API key: ").strip()
    randomness = random.Random(SEED)  # noqa: S311  no secret
    all_senders: list[Sender] = []
    for number in range(ROUNDS):
        senders = [
            Sender(f"{number}-{each}", key, randomness.randrange(2**32), installed.server.url)
            for each in range(CLIENTS)
        ]
        for sender in senders:
            sender.start()
        _kill_random_process(installed, senders, randomness)
        all_senders += senders
        assert_batches_are_whole(senders, await installed.count_stored_events())
        with httpx.Client(timeout=20) as client:
            for sender in senders:
                sender.url = installed.server.url
                _resend_unacknowledged(sender, client)
        batches = sum(len(sender.sent) for sender in senders)
        print(f"round {number + 1}: {batches} batches")  # noqa: T201

    assert [sender.unexpected for sender in all_senders if sender.unexpected] == []
    stored = await installed.count_stored_events()
    assert_batches_are_whole(all_senders, stored)
    assert sum(stored.values()) == sum(
        len(ids) for each in all_senders for ids in each.sent.values()
    )
    for month in MONTHS:
        verified = run_command("months", "verify", month, data_dir=installed.data_dir)
        assert verified.stdout == f"{month} matches its events\n", verified.stderr
    batches = sum(len(each.sent) for each in all_senders)
    resent = sum(each.resent for each in all_senders)
    print(f"{ROUNDS} rounds, {batches} batches, {sum(stored.values())} events, {resent} resent")  # noqa: T201


def _kill_random_process(
    installed: Install, senders: list[Sender], randomness: random.Random
) -> None:
    """Kill a process of the install at a random moment while all clients send."""
    deadline = time.monotonic() + 30
    while not all(sender.acknowledged for sender in senders):
        assert time.monotonic() < deadline, "no batch is acknowledged"
        time.sleep(0.01)
    time.sleep(randomness.uniform(0, 1.5))
    kill = randomness.choice(
        [installed.kill_service, installed.kill_ingest_worker, installed.kill_postgres]
    )
    kill()
    for sender in senders:
        sender.stop()


def _resend_unacknowledged(sender: Sender, client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    for number in sorted({*sender.sent} - sender.acknowledged):
        while not sender.send(client, number):
            assert time.monotonic() < deadline, f"{sender.name} is not served again"
            time.sleep(0.05)
