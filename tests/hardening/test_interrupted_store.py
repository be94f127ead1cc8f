"""Restores, moves, upgrades and backups killed at random moments: nothing is lost."""

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.db.staging_schema import STAGING_SCHEMA
from app.postgres.database import open_database
from app.postgres.staging import select_row_counts
from app.services.store_admin import back_up, verify_store
from tests.conftest import NOW, ClonedDatabase
from tests.server_process import CHARGEBACK, START_SECONDS, clean_environment
from tests.store_admin.conftest import MakeStore, create_events, ignore_month, make_store

pytestmark = [pytest.mark.long, pytest.mark.timeout(7_200)]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "20"))
SEED = 2026

__all__ = ["make_store"]  # The fixture that these tests use.


def run_and_kill(url: str, seconds: float | None, *arguments: str | Path) -> float:
    """Run a command, kill it after some seconds, and return how long it ran."""
    begin = time.monotonic()
    process = subprocess.Popen(
        (*CHARGEBACK, *map(str, arguments)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(DATABASE_URL=url),
    )
    try:
        _, error = process.communicate(timeout=seconds or START_SECONDS)
        assert process.returncode == 0, error
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return time.monotonic() - begin


async def open_and_count(url: str) -> Mapping[str, int]:
    """Open a store as a service would, verify it, and return its rows by table."""
    async with open_database(url, Path()) as database, database.owner_transaction() as tx:
        left = await tx.exec_driver_sql(f"SELECT to_regnamespace('{STAGING_SCHEMA}')")
        assert left.scalar() is None
    await verify_store(url, NOW, ignore_month)
    return await select_row_counts(url)


async def test_a_restore_killed_at_any_moment_leaves_one_whole_store(
    make_store: MakeStore, tmp_path: Path
) -> None:
    draws, dump = random.Random(SEED), tmp_path / "one.dump"  # noqa: S311  no secret
    backed_up = await make_store(*create_events())
    await back_up(backed_up, dump, programs=None)
    url = await make_store(*create_events(), *create_events())
    old, new = await select_row_counts(url), await select_row_counts(backed_up)
    arguments = ("restore", dump, "--replace")
    whole = await asyncio.to_thread(run_and_kill, backed_up, None, *arguments)

    for number in range(ROUNDS):
        seconds = draws.uniform(whole / 4, whole)
        await asyncio.to_thread(run_and_kill, url, seconds, *arguments)
        counts = await open_and_count(url)
        assert counts in (old, new), number
        print(f"restore {number + 1}: {'new' if counts == new else 'old'}")  # noqa: T201


async def test_a_move_killed_at_any_moment_loses_nothing(make_store: MakeStore) -> None:
    draws = random.Random(SEED)  # noqa: S311  no secret
    source, target = await make_store(*create_events()), await make_store()
    expected, empty = await select_row_counts(source), await select_row_counts(target)
    first = await make_store()
    whole = await asyncio.to_thread(run_and_kill, source, None, "db", "move", "--to", first)

    for number in range(ROUNDS):
        seconds = draws.uniform(whole / 4, whole)
        await asyncio.to_thread(run_and_kill, source, seconds, "db", "move", "--to", target)
        assert await open_and_count(source) == expected
        counts = await open_and_count(target)
        assert counts in (empty, expected), number
        if counts == expected:
            target = await make_store()
    assert await open_and_count(first) == expected


async def test_an_upgrade_killed_at_any_moment_can_be_repeated(
    postgres: str,
) -> None:
    draws = random.Random(SEED)  # noqa: S311  no secret
    whole = None
    for number in range(ROUNDS):
        store = ClonedDatabase(postgres, "template1")
        await store.__aenter__()
        seconds = None if whole is None else draws.uniform(whole / 4, whole)
        ran = await asyncio.to_thread(run_and_kill, store.url, seconds, "db", "upgrade")
        whole = whole or ran
        assert (await open_and_count(store.url))["organization"] == 0, number
        await store.__aexit__()


async def test_a_backup_killed_at_any_moment_is_whole_or_absent(
    make_store: MakeStore, tmp_path: Path
) -> None:
    draws, folder = random.Random(SEED), tmp_path / "backups"  # noqa: S311  no secret
    folder.mkdir()
    url = await make_store(*create_events())
    whole = await asyncio.to_thread(run_and_kill, url, None, "backup", folder / "first.dump")

    for number in range(ROUNDS):
        seconds = draws.uniform(whole / 4, whole)
        await asyncio.to_thread(run_and_kill, url, seconds, "backup", folder / f"{number}.dump")
    await back_up(url, folder / "last.dump", programs=None)

    dumps = sorted(folder.iterdir())
    assert all(file.suffix == ".dump" for file in dumps), dumps
    empty = await make_store()
    for file in dumps:
        await asyncio.to_thread(run_and_kill, empty, None, "restore", file, "--replace")
