"""Timeouts of statements, connections and the store probe."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import asyncpg
import pytest

from app.db.engine import Database
from app.db.statements import Statement
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import StatementCancelled, StoreUnavailable
from app.postgres.database import open_database
from app.services.organizations import find_organization
from tests.conftest import ClonedDatabase


def statement(text: str) -> Statement:
    return Statement(text, names=(), constants={}, columns={})


async def test_a_request_statement_times_out_after_eight_seconds(database: Database) -> None:
    organization = await find_organization(database, DEFAULT_ORGANIZATION)
    async with database.snapshot(organization.organization_id) as snapshot:
        [(allowed,)] = await snapshot.fetch_rows(statement("SHOW statement_timeout"), {})

    assert allowed == "8s"


async def test_a_cancelled_statement_has_its_own_error_code(postgres: str, template: str) -> None:
    store = ClonedDatabase(postgres, template)
    async with store as database:
        organization = await find_organization(database, DEFAULT_ORGANIZATION)
        administrator = await asyncpg.connect(store.url)
        async with database.snapshot(organization.organization_id) as snapshot:
            sleeping = asyncio.create_task(
                snapshot.fetch_rows(statement("SELECT pg_sleep(60)"), {})
            )
            cancel = (
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE "
                "datname = current_database() AND query = 'SELECT pg_sleep(60)'"
            )
            async with asyncio.timeout(20):
                while not await administrator.fetchval(cancel):  # noqa: ASYNC110  of PostgreSQL
                    await asyncio.sleep(0.01)
            with pytest.raises(StatementCancelled):
                await sleeping
        await administrator.close()

        assert await find_organization(database, DEFAULT_ORGANIZATION) == organization


@pytest.mark.parametrize(
    ("replaced", "by", "reason"),
    [
        ("/chargeback_test", "/nowhere", 'database "nowhere.*" does not exist'),
        ("postgres@", "nobody@", 'role "nobody" does not exist'),
        ("port=5432", "port=1", "No such file or directory|Connection refused"),
    ],
    ids=["database", "login", "server"],
)
async def test_rejected_logins_stop_the_start_with_the_reason(
    postgres: str, template: str, tmp_path: Path, replaced: str, by: str, reason: str
) -> None:
    store = ClonedDatabase(postgres, template)
    async with store:
        url = store.url.replace(replaced, by)
        with pytest.raises(StoreUnavailable, match=f"PostgreSQL cannot be reached: .*({reason})"):
            async with open_database(url, tmp_path):
                raise AssertionError

        # Later, clients only learn that the store is unavailable.
        with pytest.raises(StoreUnavailable, match="at the moment"):
            await find_organization(Database(url), DEFAULT_ORGANIZATION)


async def test_a_blocked_event_loop_does_not_mark_the_store_as_down(
    database: Database,
) -> None:
    await database.monitor.probe()
    beat = asyncio.create_task(database.monitor.probe())
    await asyncio.sleep(0)
    block_event_loop(1.5)
    await beat

    assert not database.monitor.is_down


def block_event_loop(seconds: float) -> None:
    """Block the event loop, as a long computation would."""
    time.sleep(seconds)


async def test_a_silent_store_is_down_even_with_a_blocked_event_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Database(f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing")
        beat = asyncio.create_task(silent.monitor.probe())
        rounds = 0
        while not beat.done():
            await asyncio.sleep(0)
            block_event_loop(0.4)
            rounds += 1

    assert silent.monitor.is_down
    assert rounds < 15


async def test_a_store_that_stops_answering_between_statements_is_down(
    postgres: str, template: str
) -> None:
    store = ClonedDatabase(postgres, template)
    async with store as database:
        administrator = await asyncpg.connect(store.url)
        try:
            await database.monitor.probe()
            async with administrator.transaction():
                await administrator.execute("LOCK TABLE alembic_version")
                began = time.monotonic()
                beat = asyncio.create_task(database.monitor.probe())
                stopped = await waiting_server(administrator)
                os.kill(stopped, signal.SIGSTOP)
                await asyncio.wait([beat], timeout=5)
                took = time.monotonic() - began
                was_away = database.monitor.is_down
                os.kill(stopped, signal.SIGCONT)
            await beat
        finally:
            await administrator.close()

        assert was_away
        assert took < 3
        await database.monitor.probe()
        assert not database.monitor.is_down


async def waiting_server(administrator: asyncpg.Connection) -> int:
    """Return the PostgreSQL backend that waits for the lock."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while not (pid := await administrator.fetchval(waiting)):  # noqa: ASYNC110  of PostgreSQL
            await asyncio.sleep(0.01)
    return int(pid)


async def test_a_store_without_free_connections_is_not_down(postgres: str, template: str) -> None:
    store = ClonedDatabase(postgres, template)
    async with store as database:
        administrator = await asyncpg.connect(store.url)
        await administrator.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        few = Database(store.url.replace("postgres@", "few@"))
        await few.monitor.probe()
        assert not few.monitor.is_down
        with pytest.raises(StoreUnavailable):
            await find_organization(few, DEFAULT_ORGANIZATION)
        await few.close()
        await administrator.execute("DROP ROLE few")
        await administrator.close()
        assert not database.monitor.is_down
