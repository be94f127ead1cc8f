"""The feed over HTTP: events stored per second, and how much the feed slows reports.

CPU seconds are those of the service, its ingest worker and PostgreSQL.
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
from bench.processes import Client, run_server, service_command
from bench.store import CACHE, create_api_key, feed_lines, say

_CONNECTIONS = {1: 32, 100: 8, 5_000: 2}
"""How many batches are sent concurrently, by batch size."""
_INITIAL_EVENTS = 40_000
"""How many events the store contains at the start: the organization's setup and some usage."""
_REPORT_INTERVAL_SECONDS = 0.25
_CONCURRENT_SHARE = 0.25
"""How long the feed runs while reports are read, as a share of the time that it runs alone."""
_MIN_CONCURRENT_SECONDS = 5
_REPORT = "/api/admin/chargeback/report?reportMonth={}"
_HEADERS = {"Content-Type": "application/cloudevents-batch+json"}


@dataclass(frozen=True, slots=True)
class FeedMeasurement:
    """The figures for one batch size."""

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
        """Events per second."""
        return self.events / self.seconds

    @property
    def per_core_second(self) -> float:
        """Events per CPU second of the service and PostgreSQL together."""
        return self.events / (self.service_cpu_seconds + self.postgres_cpu_seconds)

    def to_record(self) -> dict[str, Any]:
        """Return the figures as the benchmark stores them."""
        figures = {name: round(value, 3) for name, value in asdict(self).items()}
        return {
            **figures,
            "events_per_second": round(self.per_second),
            "events_per_core_second": round(self.per_core_second),
            "report_slowdown": round(self.slowdown, 2),
        }


async def measure_feed(seconds: float) -> list[FeedMeasurement]:
    """Send events of the demo organization in batches of each size, for `seconds` each.

    A month's document is read four times a second, first without the feed and then beside it, for
    a quarter of that time each.
    """
    # Each client occupies a thread while it waits for its response.
    threads = ThreadPoolExecutor(max(_CONNECTIONS.values()) + 4)
    asyncio.get_running_loop().set_default_executor(threads)
    say(f"Feed: {seconds:g} s for each batch size …")
    measurements = []
    for size in _CONNECTIONS:
        events = _Events(feed_lines(_INITIAL_EVENTS + _max_events(seconds)))
        async with _serve_store(events.lines(_INITIAL_EVENTS)) as client:
            measurements.append(await _measure(client, events, size, seconds))
        say(f"  batches of {size:,}: {measurements[-1].to_record()}")
    return measurements


def _max_events(seconds: float) -> int:
    return int((seconds + _concurrent_seconds(seconds)) * 30_000)


def _concurrent_seconds(seconds: float) -> float:
    return max(seconds * _CONCURRENT_SHARE, _MIN_CONCURRENT_SECONDS)


@asynccontextmanager
async def _serve_store(lines: Sequence[bytes]) -> AsyncIterator[Client]:
    """Start a service on a new store that contains these events."""
    folder = CACHE / "feed"
    shutil.rmtree(folder, ignore_errors=True)
    async with open_store(Settings.load(database_url=None), folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        chunks = (lines[at : at + CHUNK_SIZE] for at in range(0, len(lines), CHUNK_SIZE))
        await import_lines(database, organization_id, chunks, system_clock())
        headers = {"Authorization": await create_api_key(database, organization_id), **_HEADERS}
        log = CACHE / "feed.log"
        async with run_server(service_command(folder), log=log, headers=headers) as client:
            yield client
    shutil.rmtree(folder, ignore_errors=True)


async def _measure(
    client: Client, events: "_Events", size: int, seconds: float
) -> FeedMeasurement:
    month = orjson.loads(events.lines(1)[0])["time"][:7]
    clients = [client.clone() for _ in range(_CONNECTIONS[size])]
    concurrent_seconds = _concurrent_seconds(seconds)
    # Read in another process: in this one, the sending threads compete for the interpreter.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as reader:
        read = partial(_read_reports, client.clone(), month, concurrent_seconds)
        loop = asyncio.get_running_loop()
        idle = await loop.run_in_executor(reader, read)
        figures = await _run_feed(clients, size, events, seconds)
        # Reports use CPU time too, so they are read beside a second run of the feed.
        during = loop.run_in_executor(reader, read)
        await _run_feed(clients, size, events, concurrent_seconds)
        return FeedMeasurement(*figures, statistics.median(idle), statistics.median(await during))


def _read_reports(client: Client, month: str, seconds: float) -> list[float]:
    """Read a month's document repeatedly; return the seconds that each request took."""
    durations = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        client.request("GET", _REPORT.format(month), None, {})
        durations.append(time.perf_counter() - begin)
        time.sleep(_REPORT_INTERVAL_SECONDS)
    return durations


class _Events:
    """The history of an organization, consumed by many clients."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._lock = threading.Lock()

    def lines(self, count: int) -> list[bytes]:
        """Return the next `count` events; each is returned once.

        Raises:
            RuntimeError: Fewer events are left.
        """
        with self._lock:
            lines = list(islice(self._lines, count))
        if len(lines) < count:
            raise RuntimeError("The organization's history is too short for so fast a feed.")
        return lines

    def batch(self, size: int) -> bytes:
        """Return the next `size` events as a JSON array."""
        return b"[" + b",".join(self.lines(size)) + b"]"


async def _run_feed(
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
    """Send batches until `end`; return how many events were stored."""
    stored = 0
    while time.perf_counter() < end:
        response = orjson.loads(client.request("POST", "/api/events", events.batch(size), {}))
        stored += response["accepted"]
    return stored


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of the service and its ingest worker."""
    service = psutil.Process(pid)
    helpers = (each for each in service.children() if each.name() != "postgres")
    used = [process.cpu_times() for process in (service, *helpers)]
    return float(sum(times.user + times.system for times in used))


def postgres_cpu_seconds() -> float:
    """Return the CPU seconds of PostgreSQL, including processes that have ended."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        if process.name() == "postgres":
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
