"""Requests per second: a driver in its own process repeats one request on many connections.

`python -m bench.load PORT CONNECTIONS SECONDS` reads the request from its standard input and
prints the number of responses and the response times.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop

from bench.cases import LoadContender
from bench.feed import cpu_seconds, postgres_cpu_seconds
from bench.http_client import HttpConnection
from bench.processes import Client
from bench.store import say

CONNECTIONS = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of a contender with a number of connections."""

    connections: int
    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    service_cpu_seconds: float
    postgres_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_per_request(self) -> float:
        """CPU seconds of the contender and PostgreSQL per request."""
        return (self.service_cpu_seconds + self.postgres_cpu_seconds) / self.requests

    def to_record(self) -> dict[str, Any]:
        """Return the figures as the benchmark stores them."""
        return {
            "connections": self.connections,
            "requests": self.requests,
            "requests_per_second": round(self.per_second, 1),
            "p50_seconds": round(self.p50_seconds, 5),
            "p99_seconds": round(self.p99_seconds, 5),
            "cpu_seconds_per_request": round(self.cpu_per_request, 6),
        }


Loads = Mapping[str, list[Load]]


async def measure_load(contenders: Sequence[LoadContender], seconds: float) -> Loads:
    """Measure every contender with each number of connections, in turns."""
    say(f"Requests per second: {len(contenders)} contenders, {seconds:g} s each …")
    loads: dict[str, list[Load]] = {each.name: [] for each in contenders}
    for connections in CONNECTIONS:
        for each in contenders:
            loads[each.name].append(await drive(each.client, each.request, connections, seconds))
    return loads


async def drive(client: Client, request: bytes, connections: int, seconds: float) -> Load:
    """Repeat a request on many connections to the client's server."""
    pid, arguments = client.pid, (str(client.port), str(connections), str(seconds))
    driver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    service, postgres = cpu_seconds(pid), postgres_cpu_seconds()
    output, _ = await driver.communicate(request)
    assert driver.returncode == 0, f"the driver of {client.port} failed"
    service, postgres = cpu_seconds(pid) - service, postgres_cpu_seconds() - postgres
    durations, elapsed = orjson.loads(output)
    durations.sort()
    count = len(durations)
    p50, p99 = durations[count // 2], durations[count * 99 // 100]
    return Load(connections, count, elapsed, p50, p99, service, postgres)


async def _repeat(port: int, request: bytes, end: float) -> list[float]:
    connection, durations = await HttpConnection.open(port), []
    while (begin := time.perf_counter()) < end:
        await connection.send(request)
        durations.append(time.perf_counter() - begin)
    connection.close()
    return durations


async def _run_driver(port: int, connections: int, seconds: float, request: bytes) -> None:
    begin = time.perf_counter()
    repeated = await asyncio.gather(
        *(_repeat(port, request, begin + seconds) for _ in range(connections))
    )
    elapsed = time.perf_counter() - begin
    durations = [duration for each in repeated for duration in each]
    sys.stdout.buffer.write(orjson.dumps([durations, elapsed]))


if __name__ == "__main__":
    _, _port, _connections, _seconds = sys.argv
    uvloop.run(
        _run_driver(int(_port), int(_connections), float(_seconds), sys.stdin.buffer.read())
    )
