"""How long the event loop keeps others waiting while it answers the full document."""

import asyncio
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from bench.ours import FULL
from bench.processes import Client
from bench.store import say


@dataclass(frozen=True, slots=True)
class Latency:
    """Answers to a health check that is asked every 10 ms."""

    checks: int
    median_seconds: float
    p99_seconds: float
    max_seconds: float

    def shown(self) -> dict[str, Any]:
        """For the record."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


async def measure_latency(client: Client, seconds: float) -> dict[str, Latency]:
    """The latency of health checks while nothing else, and while full documents are asked."""
    say(f"Event loop: health checks for twice {seconds:g} s …")
    idle = await _probed(client, seconds)
    asking = asyncio.create_task(_ask_for(client, seconds))
    busy = await _probed(client, seconds)
    await asking
    return {"idle": idle, "during full documents": busy}


async def _ask_for(client: Client, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await client.ask(FULL)


async def _probed(client: Client, seconds: float) -> Latency:
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.probe", str(client.port), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await probe.communicate()
    found = sorted(orjson.loads(written))
    return Latency(len(found), statistics.median(found), found[len(found) * 99 // 100], found[-1])
