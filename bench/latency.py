"""How long the event loop delays other requests while it serves the full document."""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from bench.ours import FULL
from bench.processes import Client, run_server
from bench.scaling import REPORT
from bench.store import Store, say


@dataclass(frozen=True, slots=True)
class Latency:
    """Response times of health checks, sent every 10 ms from another process.

    `stall_seconds` is the longest CPU time of one step of the event loop. A check may take longer
    than that while other processes occupy the cores.
    """

    checks: int
    median_seconds: float
    p99_seconds: float
    max_seconds: float
    stall_seconds: float | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the figures as the benchmark stores them."""
        return {name: round(value, 5) for name, value in asdict(self).items() if value is not None}


async def measure_latency(store: Store, seconds: float) -> dict[str, Latency]:
    """Time health checks on an idle service, then during requests for each full document."""
    say(f"Event loop: {len(_DOCUMENTS) + 1} runs of health checks, {seconds:g} s each …")
    command = [sys.executable, "-m", "bench.stalls", str(store.folder)]
    headers = {"Authorization": store.key}
    log = store.folder / "stalls.log"
    async with run_server(command, log=log, headers=headers) as client:
        latencies = {"while idle": await _time_health_checks(client, seconds)}
        for when, request in _DOCUMENTS.items():
            await request(client)
            await client.get("/stalls")
            requests = asyncio.create_task(_request_repeatedly(request, client, seconds))
            latencies[f"during {when}"] = await _time_health_checks(client, seconds)
            await requests
    return latencies


async def _request_graphql(client: Client) -> None:
    await client.query(FULL)


async def _request_gzipped_graphql(client: Client) -> None:
    await client.query(FULL, {"Accept-Encoding": "gzip"})


async def _request_rest(client: Client) -> None:
    await client.get(REPORT)


_DOCUMENTS = {
    "full GraphQL documents": _request_graphql,
    "gzipped GraphQL documents": _request_gzipped_graphql,
    "REST documents": _request_rest,
}


async def _request_repeatedly(
    request: Callable[[Client], Awaitable[None]], client: Client, seconds: float
) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await request(client)


async def _time_health_checks(client: Client, seconds: float) -> Latency:
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.probe", str(client.port), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await probe.communicate()
    durations = sorted(orjson.loads(output))
    stall_client = Client(client.port, client.pid)
    stalls = orjson.loads(await stall_client.get("/stalls"))
    return Latency(
        len(durations),
        statistics.median(durations),
        durations[len(durations) * 99 // 100],
        durations[-1],
        stalls["computed_seconds"],
    )
