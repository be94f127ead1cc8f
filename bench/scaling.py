# ruff: noqa: S608  names of tables and columns are declared
"""Time and memory of reports as the organization becomes several times as large."""

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
from bench.measure import Timing, Timings, measure_peak, time_run
from bench.ours import FULL
from bench.processes import Client, run_server, service_command
from bench.store import MONTH, Store, close_idle, say

_TABLES: Sequence[type[Base]] = (
    *(Workspace, Project, PlatformUser),
    *(WorkspaceMonth, ProjectMonth, MemberMonth, UserMonth),
)
_IDS, _NAMES = {"workspace_id", "project_id", "user_id"}, {"name", "username"}
REPORT = f"/api/admin/chargeback/report?reportMonth={MONTH}"
GRAPHQL, REST = "GraphQL over HTTP", "REST over HTTP"


async def measure_growth(store: Store, scales: Sequence[int], rounds: int) -> dict[int, Timings]:
    """Measure services on stores of each size, round robin."""
    say(f"Growth: {', '.join(map(str, scales))} times, {rounds} rounds …")
    timings: dict[int, Timings] = {scale: {GRAPHQL: Timing(), REST: Timing()} for scale in scales}
    async with AsyncExitStack() as stack:
        services = {
            scale: await stack.enter_async_context(_run_scaled_service(store, scale))
            for scale in scales
        }
        runs = {
            (scale, name): run
            for scale, service in services.items()
            for name, run in (
                (GRAPHQL, partial(service.query, FULL)),
                (REST, partial(service.get, REPORT)),
            )
        }
        # Read the streamed document first, because a process keeps the memory that it once used.
        for (scale, name), run in sorted(runs.items(), key=lambda item: item[0][1] == GRAPHQL):
            timing = timings[scale][name]
            timing.document_bytes = len(await run())
            timing.peak_bytes = await measure_peak(
                run, services[scale].pid, services[scale].idle_bytes
            )
        for _ in range(rounds):
            for (scale, name), run in runs.items():
                timings[scale][name].seconds.append(await time_run(run))
    return timings


@asynccontextmanager
async def _run_scaled_service(store: Store, scale: int) -> AsyncIterator[Client]:
    """Start a service on a database that contains the organization `scale` times."""
    name = f"chargeback_x{scale}"
    await create_scaled_database(store.url, name, scale)
    command = service_command(store.folder)
    environment = {"DATABASE_URL": with_database_name(store.url, name)}
    log, headers = store.folder / f"{name}.log", {"Authorization": store.key}
    try:
        async with run_server(
            command, log=log, environment=environment, headers=headers
        ) as client:
            yield client
    finally:
        await drop_database(store.url, name)


async def create_scaled_database(url: str, name: str, scale: int) -> None:
    """Create a database that contains the organization `scale` times."""
    await drop_database(url, name)
    await close_idle(url)
    await _execute_admin(url, f"CREATE DATABASE {name} TEMPLATE chargeback STRATEGY file_copy")
    await _copy_rows(with_database_name(url, name), scale)


async def drop_database(url: str, name: str) -> None:
    """Drop a database, and end the connections to it."""
    await _execute_admin(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _execute_admin(url: str, command: str) -> None:
    connection = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await connection.execute(command)
    finally:
        await connection.close()


async def _copy_rows(url: str, scale: int) -> None:
    """Insert copies of all rows under other names, until there are `scale` of each."""
    connection = await asyncpg.connect(url)
    try:
        for table in _TABLES if scale > 1 else ():
            await connection.execute(_copy_statement(table), scale - 1)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _copy_statement(table: Any) -> str:
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
