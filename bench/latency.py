"""How long the event loop keeps others waiting while it answers the full document."""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from bench.multiples import REPORT
from bench.ours import FULL
from bench.processes import Client, serving
from bench.store import Store, say


@dataclass(frozen=True, slots=True)
class Latency:
    """Answers to a health check that is asked every 10 ms, from another process.

    `stall_seconds` is the longest that the event loop computed without giving others their turn;
    a check waits longer when other processes hold the cores.
    """

    checks: int
    median_seconds: float
    p99_seconds: float
    max_seconds: float
    stall_seconds: float | None = None

    def shown(self) -> dict[str, Any]:
        """For the record."""
        return {name: round(value, 5) for name, value in asdict(self).items() if value is not None}


async def measure_latency(store: Store, seconds: float) -> dict[str, Latency]:
    """Health checks while nothing else, and while each kind of full document is asked for."""
    say(f"Event loop: health checks for {len(_DOCUMENTS) + 1} times {seconds:g} s …")
    command = [sys.executable, "-m", "bench.stalls", str(store.folder)]
    headers = {"Authorization": store.key}
    log = store.folder / "stalls.log"
    async with serving(command, log=log, headers=headers) as client:
        found = {"while idle": await _probed(client, seconds)}
        for when, ask in _DOCUMENTS.items():
            await ask(client)
            await client.get("/stalls")
            asking = asyncio.create_task(_ask_for(ask, client, seconds))
            found[f"during {when}"] = await _probed(client, seconds)
            await asking
    return found


async def _graphql(client: Client) -> None:
    await client.ask(FULL)


async def _graphql_packed(client: Client) -> None:
    await client.ask(FULL, {"Accept-Encoding": "gzip"})


async def _rest(client: Client) -> None:
    await client.get(REPORT)


_DOCUMENTS = {
    "full GraphQL documents": _graphql,
    "gzipped GraphQL documents": _graphql_packed,
    "REST documents": _rest,
}


async def _ask_for(
    ask: Callable[[Client], Awaitable[None]], client: Client, seconds: float
) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await ask(client)


async def _probed(client: Client, seconds: float) -> Latency:
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.probe", str(client.port), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await probe.communicate()
    found = sorted(orjson.loads(written))
    beside = Client(client.port, client.pid)
    stalls = orjson.loads(await beside.get("/stalls"))
    return Latency(
        len(found),
        statistics.median(found),
        found[len(found) * 99 // 100],
        found[-1],
        stalls["computed_seconds"],
    )
