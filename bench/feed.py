"""Ingestor events in over HTTP, into a store of their own: events a second, and reports beside it.

CPU seconds are those of the service, of the process that it stores events by, and of PostgreSQL.
"""

import asyncio
import multiprocessing
import shutil
import statistics
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

import orjson
import psutil

from app.clock import system_clock
from app.domain.callers import DEFAULT_ORGANIZATION
from app.ingest.store import CHUNK_SIZE
from app.server.store import open_store
from app.services.file_import import import_lines
from app.services.organizations import find_organization
from app.settings import Settings
from bench.processes import Client, service_command, serving
from bench.store import CACHE, create_api_key, feed_lines, say

_CONNECTIONS = {1: 32, 100: 8, 5_000: 2}
"""Batches on their way at a time, by their size."""
_KNOWN_BEFORE = 40_000
"""Events that are there already: the founding of the organization, and some of its work."""
_EVERY_SECONDS = 0.25
_BESIDE = 0.25
"""For so much of the time that it was measured alone the feed runs beside reports."""
_LEAST_BESIDE_SECONDS = 5
_REPORT = "/api/admin/chargeback/report?reportMonth={}"
_HEADERS = {"Content-Type": "application/cloudevents-batch+json"}


@dataclass(frozen=True, slots=True)
class GroupCommitIngestor:
    """What was measured with batches of one size."""

    batch: int
    events: int
    seconds: float
    service_cpu_seconds: float
    postgres_cpu_seconds: float
    idle_report_seconds: float
    report_seconds: float

    @property
    def slowdown(self) -> float:
        """How many times as long a report takes while the feed runs."""
        return self.report_seconds / self.idle_report_seconds

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
            "report_slowdown": round(self.slowdown, 2),
        }


async def measure_feed(seconds: float) -> list[GroupCommitIngestor]:
    """Post events of a lifelike organization, in batches of each size, for so long each.

    Before it for a quarter of that time, and beside another quarter of it, a month's document is
    read four times a second.
    """
    # Each client holds a thread while it waits for its answer.
    threads = ThreadPoolExecutor(max(_CONNECTIONS.values()) + 4)
    asyncio.get_running_loop().set_default_executor(threads)
    say(f"Feed: {seconds:g} s for each size of batch …")
    measured = []
    for size in _CONNECTIONS:
        events = _Events(feed_lines(_KNOWN_BEFORE + _sent_at_most(seconds)))
        async with _fed(events.lines(_KNOWN_BEFORE)) as client:
            measured.append(await _measured(client, events, size, seconds))
        say(f"  batches of {size:,}: {measured[-1].shown()}")
    return measured


def _sent_at_most(seconds: float) -> int:
    return int((seconds + _beside(seconds)) * 30_000)


def _beside(seconds: float) -> float:
    return max(seconds * _BESIDE, _LEAST_BESIDE_SECONDS)


@asynccontextmanager
async def _fed(lines: Sequence[bytes]) -> AsyncIterator[Client]:
    """A service on a store of its own, which holds these events."""
    folder = CACHE / "feed"
    shutil.rmtree(folder, ignore_errors=True)
    async with open_store(Settings.load(database_url=None), folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        chunks = (lines[at : at + CHUNK_SIZE] for at in range(0, len(lines), CHUNK_SIZE))
        await import_lines(database, organization_id, chunks, system_clock())
        headers = {"Authorization": await create_api_key(database, organization_id), **_HEADERS}
        log = CACHE / "feed.log"
        async with serving(service_command(folder), log=log, headers=headers) as client:
            yield client
    shutil.rmtree(folder, ignore_errors=True)


async def _measured(
    client: Client, events: "_Events", size: int, seconds: float
) -> GroupCommitIngestor:
    month = orjson.loads(events.lines(1)[0])["time"][:7]
    clients = [client.another() for _ in range(_CONNECTIONS[size])]
    beside = _beside(seconds)
    # By a process of its own: here the threads that send wait for each other's interpreter.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as reader:
        read = partial(_read_for, client.another(), month, beside)
        loop = asyncio.get_running_loop()
        idle = await loop.run_in_executor(reader, read)
        found = await _phase(clients, size, events, seconds)
        # Reports take processor time too, so that they are read beside a second run.
        during = loop.run_in_executor(reader, read)
        await _phase(clients, size, events, beside)
        return GroupCommitIngestor(
            *found, statistics.median(idle), statistics.median(await during)
        )


def _read_for(client: Client, month: str, seconds: float) -> list[float]:
    """Read a month's document for so long; the seconds that it took, each time."""
    found = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        client.request("GET", _REPORT.format(month), None, {})
        found.append(time.perf_counter() - begin)
        time.sleep(_EVERY_SECONDS)
    return found


class _Events:
    """The history of an organization, from which many clients take what comes next."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._lock = threading.Lock()

    def lines(self, count: int) -> list[bytes]:
        """The next so many events; no fact is told twice, under whatever id.

        Raises:
            RuntimeError: There are no more.
        """
        with self._lock:
            taken = list(islice(self._lines, count))
        if len(taken) < count:
            raise RuntimeError("The organization's history is too short for so fast a feed.")
        return taken

    def batch(self, size: int) -> bytes:
        """The next so many events, as a JSON array."""
        return b"[" + b",".join(self.lines(size)) + b"]"


async def _phase(
    clients: Sequence[Client], size: int, events: _Events, seconds: float
) -> tuple[int, int, float, float, float]:
    service, postgres = cpu_seconds(clients[0].pid), postgres_cpu_seconds()
    begin = time.perf_counter()
    end = begin + seconds
    sent = await asyncio.gather(
        *(asyncio.to_thread(_post, each, size, events, end) for each in clients)
    )
    return (
        size,
        sum(sent),
        time.perf_counter() - begin,
        cpu_seconds(clients[0].pid) - service,
        postgres_cpu_seconds() - postgres,
    )


def _post(client: Client, size: int, events: _Events, end: float) -> int:
    """Send batch after batch until the time is over; how many events were stored."""
    stored = 0
    while time.perf_counter() < end:
        answer = orjson.loads(client.request("POST", "/api/events", events.batch(size), {}))
        stored += answer["accepted"]
    return stored


def cpu_seconds(pid: int) -> float:
    """Of the service and of the process that it stores events by."""
    service = psutil.Process(pid)
    helpers = (each for each in service.children() if each.name() != "postgres")
    used = [process.cpu_times() for process in (service, *helpers)]
    return float(sum(times.user + times.system for times in used))


def postgres_cpu_seconds() -> float:
    """Of the server and all of its processes, ended ones included."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        if process.name() == "postgres":
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
