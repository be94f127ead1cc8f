"""`python -m bench.cold`: a report of the largest supported organization, asked for first.

Each answer is the first of a service that has just been started, on a PostgreSQL that has just
been started. Its files are in the operating system's memory, or have been taken out of it.
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
from bench.machine import machine
from bench.multiples import GRAPHQL, REPORT, REST, dropped, multiplied
from bench.ours import FULL
from bench.processes import Client, service_command, serving
from bench.store import benchmark_store, say

SCALE = 10
"""The largest supported organization: 10,000 workspaces, 200,000 users, 600,000 memberships."""
LIMIT_SECONDS = 5
_NAME = "chargeback_cold"
_ASK: dict[str, Callable[[Client], Awaitable[bytes]]] = {
    REST: lambda client: client.get(REPORT),
    GRAPHQL: lambda client: client.ask(FULL),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """Seconds that the first answer took, that it had computed, and that the second took.

    Beside other work an answer takes longer than on an idle machine; what it computes, in the
    service and in PostgreSQL, depends on that much less.
    """

    first: float
    computed: float
    second: float


async def main(rounds: int) -> None:
    """Print a row for each kind of start."""
    found = machine()
    print(
        f"{found['cores']} cores ({found['cpu']}), load {found['load_at_start']} at the start.\n"
    )
    async with benchmark_store() as store:
        folder, key = store.folder, store.key
        say(f"Making an organization of {SCALE} times the size …")
        await multiplied(store.url, _NAME, SCALE)
    print(
        "| first answer of | files | median s | worst s | computing s | then s | limit s | kept |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    try:
        for name in _ASK:
            for where, forget in (("in memory", False), ("on disk", True)):
                ask = partial(_first_answers, folder, key, _ASK[name], forget=forget)
                _show(name, where, [await ask() for _ in range(rounds)])
    finally:
        async with EmbeddedPostgres(folder / "postgres") as server:
            await dropped(server.url, _NAME)


def _show(name: str, where: str, answers: Sequence[Answers]) -> None:
    first = [each.first for each in answers]
    computed = median(each.computed for each in answers)
    then = median(each.second for each in answers)
    kept = "yes" if max(first) <= LIMIT_SECONDS else "**no**"
    seconds = (median(first), max(first), computed, then)
    row = (name, where, *(f"{each:.2f}" for each in seconds), str(LIMIT_SECONDS), kept)
    print(f"| {' | '.join(row)} |", flush=True)


async def _first_answers(
    folder: Path, key: str, ask: Callable[[Client], Awaitable[bytes]], *, forget: bool
) -> Answers:
    if forget:
        _forget(folder / "postgres" / "cluster")
    async with _started(folder, key) as client:
        computed = cpu_seconds(client.pid) + postgres_cpu_seconds()
        began_at = time.perf_counter()
        await ask(client)
        first_at = time.perf_counter()
        computed = cpu_seconds(client.pid) + postgres_cpu_seconds() - computed
        await ask(client)
        return Answers(first_at - began_at, computed, time.perf_counter() - first_at)


@asynccontextmanager
async def _started(folder: Path, key: str) -> AsyncIterator[Client]:
    async with EmbeddedPostgres(folder / "postgres") as server:
        environment = {"DATABASE_URL": with_database_name(server.url, _NAME)}
        command, headers = service_command(folder), {"Authorization": key}
        log = folder / "cold.log"
        async with serving(command, log=log, environment=environment, headers=headers) as client:
            yield client


def _forget(folder: Path) -> None:
    """Have the operating system let go of what it holds of these files; Linux does, asked so."""
    for file in folder.rglob("*"):
        if file.is_file():
            opened = os.open(file, os.O_RDONLY)
            os.fsync(opened)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(opened)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each kind of start")
    uvloop.run(main(parser.parse_args().rounds))
