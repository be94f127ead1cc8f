"""Taking events in over HTTP, into a store of their own: events a second, and CPU seconds."""

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]

from app.cli.store import opened
from app.main import system_clock
from app.settings import Settings
from bench.processes import Client, service_command, serving
from bench.store import CACHE, feed_lines, mint, say
from resolvers.feed import CHUNK, accept_lines
from resolvers.organizations import DEFAULT, find_organization

_CONNECTIONS = {1: 32, 100: 8, 5_000: 2}
"""Batches on their way at a time, by their size."""
_KNOWN_BEFORE = 40_000
"""Events that are there already: the founding of the organization, and some of its work."""
_SHARE = {1: 0.04, 100: 0.3, 5_000: 0.66}
_HEADERS = {"Content-Type": "application/cloudevents-batch+json"}


@dataclass(frozen=True, slots=True)
class Intake:
    """What was measured with batches of one size."""

    batch: int
    events: int
    seconds: float
    service_cpu_seconds: float
    postgres_cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def per_core_second(self) -> float:
        """Events by CPU second of service and PostgreSQL together."""
        return self.events / (self.service_cpu_seconds + self.postgres_cpu_seconds)

    def shown(self) -> dict[str, Any]:
        """For the record."""
        figures = {name: round(value, 3) for name, value in asdict(self).items()}
        return {
            **figures,
            "events_per_second": round(self.per_second),
            "events_per_core_second": round(self.per_core_second),
        }


async def measure_feed(seconds: float) -> list[Intake]:
    """Post events of a lifelike organization, in batches of each size, for so long each."""
    count = _KNOWN_BEFORE + int(30_000 * seconds)
    say(f"Feed: {count:,} events, at most {seconds:g} s for each size of batch …")
    lines = list(feed_lines(count))
    folder = CACHE / "feed"
    shutil.rmtree(folder, ignore_errors=True)
    async with opened(Settings.load(database_url=None), folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT)).organization_id
        founding = (lines[at : at + CHUNK] for at in range(0, _KNOWN_BEFORE, CHUNK))
        await accept_lines(database, organization_id, founding, system_clock())
        key = await mint(database, organization_id)
        headers = {"Authorization": key, **_HEADERS}
        log = CACHE / "feed.log"
        async with serving(service_command(folder), log=log, headers=headers) as client:
            measured = await _phases(client, headers, lines[_KNOWN_BEFORE:], seconds)
    shutil.rmtree(folder, ignore_errors=True)
    return measured


async def _phases(
    client: Client, headers: dict[str, str], lines: Sequence[bytes], seconds: float
) -> list[Intake]:
    measured = []
    start = 0
    for size, share in _SHARE.items():
        part = lines[start : start + int(len(lines) * share)]
        start += len(part)
        clients = [Client(client.port, client.pid, headers) for _ in range(_CONNECTIONS[size])]
        measured.append(await _phase(clients, size, part, seconds))
    return measured


async def _phase(
    clients: Sequence[Client], size: int, lines: Sequence[bytes], seconds: float
) -> Intake:
    bodies = deque(
        b"[" + b",".join(lines[at : at + size]) + b"]" for at in range(0, len(lines), size)
    )
    total, service, postgres = len(bodies), _cpu(clients[0].pid), _postgres_cpu()
    begin = time.perf_counter()
    end = begin + seconds
    await asyncio.gather(*(asyncio.to_thread(_post, each, bodies, end) for each in clients))
    return Intake(
        batch=size,
        events=min(len(lines), (total - len(bodies)) * size),
        seconds=time.perf_counter() - begin,
        service_cpu_seconds=_cpu(clients[0].pid) - service,
        postgres_cpu_seconds=_postgres_cpu() - postgres,
    )


def _post(client: Client, bodies: deque[bytes], end: float) -> None:
    """Send batch after batch, until the time is over or all are sent."""
    while time.perf_counter() < end:
        try:
            body = bodies.popleft()
        except IndexError:
            return
        client.request("POST", "/api/events", body, {})


def _cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def _postgres_cpu() -> float:
    """Of the server and all of its processes, ended ones included."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        if process.name() == "postgres":
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
