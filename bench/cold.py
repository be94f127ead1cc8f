"""`python -m bench.cold`: the first report after a start, for the largest supported organization.

Each measurement starts PostgreSQL and the service. PostgreSQL's files are either in the page cache
of the operating system or have been evicted from it.
"""

import argparse
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import uvloop

from app.postgres.database import with_database_name
from app.postgres.embedded import EmbeddedPostgres
from bench.feed import cpu_seconds, postgres_cpu_seconds
from bench.machine import describe_machine
from bench.ours import FULL
from bench.processes import Client, run_server, service_command
from bench.scaling import GRAPHQL, REPORT, REST, create_scaled_database, drop_database
from bench.store import benchmark_store, say

SCALE = 10
"""The largest supported organization: 10,000 workspaces, 200,000 users, 600,000 memberships."""
LIMIT_SECONDS = 5
_NAME = "chargeback_cold"
_REQUESTS: dict[str, Callable[[Client], Awaitable[bytes]]] = {
    REST: lambda client: client.get(REPORT),
    GRAPHQL: lambda client: client.query(FULL),
}


@dataclass(frozen=True, slots=True)
class FirstResponses:
    """The durations of the first two responses after a start, in seconds.

    `first_cpu` is the CPU time that the service and PostgreSQL use for the first response. Other
    processes on the machine delay a response, but hardly affect its CPU time.
    """

    first: float
    first_cpu: float
    second: float


async def main(rounds: int) -> None:
    """Print a row for each kind of start."""
    hardware = describe_machine()
    print(
        f"{hardware['cores']} cores ({hardware['cpu']}), "
        f"load {hardware['load_at_start']} at the start.\n"
    )
    async with benchmark_store() as store:
        folder, key = store.folder, store.key
        say(f"Creating an organization {SCALE} times as large …")
        await create_scaled_database(store.url, _NAME, SCALE)
    print("| first response | files | median s | worst s | CPU s | second s | limit s | met |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    try:
        for name in _REQUESTS:
            for files, evict in (("in memory", False), ("on disk", True)):
                request = partial(
                    _measure_first_responses, folder, key, _REQUESTS[name], evict=evict
                )
                _print_row(name, files, [await request() for _ in range(rounds)])
    finally:
        async with EmbeddedPostgres(folder / "postgres") as server:
            await drop_database(server.url, _NAME)


def _print_row(name: str, files: str, responses: Sequence[FirstResponses]) -> None:
    first = [each.first for each in responses]
    first_cpu = median(each.first_cpu for each in responses)
    second = median(each.second for each in responses)
    met = "yes" if max(first) <= LIMIT_SECONDS else "**no**"
    seconds = (median(first), max(first), first_cpu, second)
    row = (name, files, *(f"{each:.2f}" for each in seconds), str(LIMIT_SECONDS), met)
    print(f"| {' | '.join(row)} |", flush=True)


async def _measure_first_responses(
    folder: Path, key: str, request: Callable[[Client], Awaitable[bytes]], *, evict: bool
) -> FirstResponses:
    if evict:
        _evict_files(folder / "postgres" / "cluster")
    async with _start_service(folder, key) as client:
        cpu_at_start = cpu_seconds(client.pid) + postgres_cpu_seconds()
        started_at = time.perf_counter()
        await request(client)
        first_at = time.perf_counter()
        first_cpu = cpu_seconds(client.pid) + postgres_cpu_seconds() - cpu_at_start
        await request(client)
        return FirstResponses(first_at - started_at, first_cpu, time.perf_counter() - first_at)


@asynccontextmanager
async def _start_service(folder: Path, key: str) -> AsyncIterator[Client]:
    async with EmbeddedPostgres(folder / "postgres") as server:
        environment = {"DATABASE_URL": with_database_name(server.url, _NAME)}
        command, headers = service_command(folder), {"Authorization": key}
        log = folder / "cold.log"
        async with run_server(
            command, log=log, environment=environment, headers=headers
        ) as client:
            yield client


def _evict_files(folder: Path) -> None:
    """Evict these files from the page cache of the operating system (Linux only)."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind of start")
    uvloop.run(main(parser.parse_args().rounds))
