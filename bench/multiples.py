# ruff: noqa: S608  names of tables and columns are declared
"""The same organization several times over: what twice of it costs, in time and in memory."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import asyncpg

from app.db.tables import (
    Base,
    MemberMonth,
    PlatformUser,
    Project,
    ProjectMonth,
    UserMonth,
    Workspace,
    WorkspaceMonth,
)
from app.postgres.database import with_database_name
from bench.measure import Timing, Timings, measured, peak
from bench.ours import FULL
from bench.processes import Client, service_command, serving
from bench.store import MONTH, Store, close_idle, say

_TABLES: Sequence[type[Base]] = (
    *(Workspace, Project, PlatformUser),
    *(WorkspaceMonth, ProjectMonth, MemberMonth, UserMonth),
)
_IDS, _NAMES = {"workspace_id", "project_id", "user_id"}, {"name", "username"}
REPORT = f"/api/admin/chargeback/report?reportMonth={MONTH}"
GRAPHQL, REST = "GraphQL over HTTP", "REST over HTTP"


async def measure_growth(store: Store, scales: Sequence[int], rounds: int) -> dict[int, Timings]:
    """Ask services on stores of each size in turns."""
    say(f"Growth: {', '.join(map(str, scales))} times, {rounds} rounds …")
    found: dict[int, Timings] = {scale: {GRAPHQL: Timing(), REST: Timing()} for scale in scales}
    async with AsyncExitStack() as stack:
        services = {
            scale: await stack.enter_async_context(_service(store, scale)) for scale in scales
        }
        runs = {
            (scale, name): run
            for scale, service in services.items()
            for name, run in (
                (GRAPHQL, partial(service.ask, FULL)),
                (REST, partial(service.get, REPORT)),
            )
        }
        # The streamed document first: a process keeps what it once took.
        for (scale, name), run in sorted(runs.items(), key=lambda item: item[0][1] == GRAPHQL):
            timing = found[scale][name]
            timing.document_bytes = len(await run())
            timing.peak_bytes = await peak(run, services[scale].pid, services[scale].idle_bytes)
        for _ in range(rounds):
            for (scale, name), run in runs.items():
                found[scale][name].seconds.append(await measured(run))
    return found


@asynccontextmanager
async def _service(store: Store, scale: int) -> AsyncIterator[Client]:
    """A service on a database that holds the organization so many times."""
    name = f"chargeback_x{scale}"
    await multiplied(store.url, name, scale)
    command = service_command(store.folder)
    environment = {"DATABASE_URL": with_database_name(store.url, name)}
    log, headers = store.folder / f"{name}.log", {"Authorization": store.key}
    try:
        async with serving(command, log=log, environment=environment, headers=headers) as found:
            yield found
    finally:
        await dropped(store.url, name)


async def multiplied(url: str, name: str, scale: int) -> None:
    """Make a database that holds the organization so many times."""
    await dropped(url, name)
    await close_idle(url)
    await _administer(url, f"CREATE DATABASE {name} TEMPLATE chargeback STRATEGY file_copy")
    await _multiply(with_database_name(url, name), scale)


async def dropped(url: str, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    await _administer(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _administer(url: str, command: str) -> None:
    connection = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await connection.execute(command)
    finally:
        await connection.close()


async def _multiply(url: str, scale: int) -> None:
    """Everything again under other names, so many times in all."""
    connection = await asyncpg.connect(url)
    try:
        for table in _TABLES if scale > 1 else ():
            await connection.execute(_again(table), scale - 1)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _again(table: Any) -> str:
    names = [column.name for column in table.__table__.columns]
    month = f"WHERE month = '{MONTH.first_day}'" if "month" in names else ""
    values: Mapping[str, str] = {
        **{name: name for name in names},
        **{name: f"md5({name} || '/' || copy)::uuid" for name in _IDS & {*names}},
        **{name: f"{name} || '~' || copy" for name in _NAMES & {*names}},
    }
    return (
        f"INSERT INTO {table.__tablename__} ({', '.join(names)}) "
        f"SELECT {', '.join(values[name] for name in names)} "
        f"FROM {table.__tablename__}, generate_series(1, $1::int) AS copy {month}"
    )
