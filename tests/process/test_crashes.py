"""`kill -9`, again and again: what was acknowledged is there once, and no batch is half there.

Five rounds as a rule; `make test-long` plays a hundred (`CRASH_ROUNDS`).
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
from tests.process.test_faults import postmaster, wait_for_another
from tests.server_process import ServerProcess, run_command

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "5"))
CLIENTS = 4
MONTHS = ("2026-08", "2026-09", "2026-10")
SEED = 20_261_124


@dataclass
class Sender:
    """A client that sends batch after batch, and each again until it is acknowledged.

    Attributes:
        sent: Every batch that was sent at least once, by number: the ids of its events.
        acknowledged: Numbers of those that were answered with 200.
        surprises: Answers that are neither 200 nor a refusal that says when to come again.
    """

    name: str
    key: str
    seed: int
    url: str = ""
    sent: dict[int, list[str]] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    resent: int = 0
    surprises: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  no secret
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stopped.is_set():
                number = len(self.sent)
                self.bodies[number], self.sent[number] = self._batch(number)
                while not self._stopped.is_set() and not self.send(client, number):
                    self.resent += 1
                    time.sleep(0.05)

    def send(self, client: httpx.Client, number: int) -> bool:
        """Send a batch once; whether it was acknowledged."""
        headers = {"Authorization": self.key, "Content-Type": "application/x-ndjson"}
        try:
            answer = client.post(
                f"{self.url}/api/events", content=self.bodies[number], headers=headers
            )
        except httpx.HTTPError:
            return False
        if answer.status_code == 200:
            self.acknowledged.add(number)
        elif (answer.status_code, answer.headers.get("Retry-After")) != (503, "2"):
            self.surprises.append(f"{answer.status_code} {answer.text}")
        return answer.status_code == 200

    def _batch(self, number: int) -> tuple[bytes, list[str]]:
        ids = [f"{number}-{each}" for each in range(self._random.randint(1, 60))]
        return b"\n".join(self._event(id) for id in ids), ids

    def _event(self, id: str) -> bytes:
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
        kind, said = self._random.choice(kinds)
        return event(kind, at, id=id, source=f"/{self.name}", **said)


@dataclass
class Install:
    """A service on a folder, its processes killed and started again, and what its store holds."""

    data_dir: Path
    server: ServerProcess

    def kill_service(self) -> None:
        self.server.kill()
        self.server = ServerProcess(self.data_dir, arguments=())

    def kill_feeder(self) -> None:
        ended = self.server.ingest_worker
        ended.kill()
        ended.wait(10)

    def kill_postgres(self) -> None:
        ended = postmaster(self.data_dir)
        os.kill(ended, signal.SIGKILL)
        wait_for_another(self.data_dir, ended)

    async def stored(self) -> Counter[tuple[str, str]]:
        """How often each event is stored, by source and id."""
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
    found = Install(tmp_path, ServerProcess(tmp_path, arguments=()))
    yield found
    found.server.stop()


def assert_whole(senders: list[Sender], stored: Counter[tuple[str, str]]) -> None:
    """Acknowledged batches are there, no batch is half there, no event is there twice."""
    assert not {each: n for each, n in stored.items() if n > 1}
    for sender in senders:
        for number, ids in list(sender.sent.items()):
            there = sum(stored[f"/{sender.name}", id] for id in ids)
            expected = {len(ids)} if number in sender.acknowledged else {0, len(ids)}
            assert there in expected, (sender.name, number, there, len(ids))


@pytest.mark.timeout(60 + 30 * ROUNDS)
async def test_nothing_acknowledged_is_lost_and_no_batch_is_half_there(
    installed: Install,
) -> None:
    created = run_command(
        "keys", "create", "--user", "connector", "--scope", "events:write",
        data_dir=installed.data_dir,
    )  # fmt: skip
    key = created.stdout.removeprefix("API key: ").strip()
    draws = random.Random(SEED)  # noqa: S311  no secret
    done: list[Sender] = []
    for number in range(ROUNDS):
        senders = [
            Sender(f"{number}-{each}", key, draws.randrange(2**32), installed.server.url)
            for each in range(CLIENTS)
        ]
        for sender in senders:
            sender.begin()
        _kill_one(installed, senders, draws)
        done += senders
        assert_whole(senders, await installed.stored())
        with httpx.Client(timeout=20) as client:
            for sender in senders:
                sender.url = installed.server.url
                _send_the_rest(sender, client)
        told = sum(len(sender.sent) for sender in senders)
        print(f"round {number + 1}: {told} batches")  # noqa: T201

    assert [sender.surprises for sender in done if sender.surprises] == []
    stored = await installed.stored()
    assert_whole(done, stored)
    assert sum(stored.values()) == sum(len(ids) for each in done for ids in each.sent.values())
    for month in MONTHS:
        verified = run_command("months", "verify", month, data_dir=installed.data_dir)
        assert verified.stdout == f"{month} matches its events\n", verified.stderr
    batches = sum(len(each.sent) for each in done)
    lost = sum(each.resent for each in done)
    print(f"{ROUNDS} rounds, {batches} batches, {sum(stored.values())} events, {lost} sent again")  # noqa: T201


def _kill_one(installed: Install, senders: list[Sender], draws: random.Random) -> None:
    """Kill one of the install's processes at a random moment once all clients are at work."""
    deadline = time.monotonic() + 30
    while not all(sender.acknowledged for sender in senders):
        assert time.monotonic() < deadline, "no batch is acknowledged"
        time.sleep(0.01)
    time.sleep(draws.uniform(0, 1.5))
    draws.choice([installed.kill_service, installed.kill_feeder, installed.kill_postgres])()
    for sender in senders:
        sender.stop()


def _send_the_rest(sender: Sender, client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    for number in sorted({*sender.sent} - sender.acknowledged):
        while not sender.send(client, number):
            assert time.monotonic() < deadline, f"{sender.name} is not served again"
            time.sleep(0.05)
