"""A killed restore, move or backup loses nothing, and the next opening removes its leftovers.

PostgreSQL's programs are replaced by scripts that kill the command at a named step, so a real
process ends there with SIGKILL.
"""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest

from app.db.staging_schema import STAGING_SCHEMA
from app.postgres.database import open_database
from app.postgres.dumps import verify_dump
from app.postgres.programs import find_bin_folder
from app.postgres.staging import StoreInUse, select_row_counts
from app.services.store_admin import back_up, restore, verify_store
from tests.conftest import NOW
from tests.server_process import CHARGEBACK, START_SECONDS, clean_environment
from tests.store_admin.conftest import MakeStore, create_events, ignore_month

REAL = find_bin_folder()
STEPS = {
    "before the first statement": {"psql": "kill -9 $PPID; exec {real}/psql"},
    "after half of the script": {"psql": 'head -c 20000 | {real}/psql "$@"; kill -9 $PPID'},
    "when everything is loaded": {"psql": '{real}/psql "$@"; kill -9 $PPID'},
}


def make_programs(folder: Path, scripts: dict[str, str]) -> Path:
    """Create a folder of PostgreSQL's programs, some of them replaced by shell scripts."""
    folder.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        if name in scripts:
            (folder / name).write_text(f"#!/bin/sh\n{scripts[name].format(real=REAL)}\n")
            (folder / name).chmod(0o755)
        else:
            (folder / name).symlink_to(REAL / name)
    return folder


def start(url: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Start a command on the store of a URL."""
    return subprocess.Popen(
        (*CHARGEBACK, *map(str, arguments)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(DATABASE_URL=url),
    )


async def run_until_killed(url: str, *arguments: str | Path) -> None:
    process = start(url, *arguments)
    _, error = await asyncio.to_thread(process.communicate, timeout=START_SECONDS)
    assert process.returncode == -signal.SIGKILL, error


async def assert_whole(url: str, expected_counts: dict[str, int]) -> None:
    """Assert that the store opens with the expected rows, verifies, and has no staging schema."""
    async with open_database(url, Path()) as database, database.owner_transaction() as tx:
        assert not (
            await tx.exec_driver_sql(f"SELECT to_regnamespace('{STAGING_SCHEMA}')")
        ).scalar()
    assert await select_row_counts(url) == expected_counts
    await verify_store(url, NOW, ignore_month)


@pytest.fixture
async def dump(make_store: MakeStore, tmp_path: Path) -> Path:
    file = tmp_path / "one.dump"
    await back_up(await make_store(*create_events()), file, programs=None)
    return file


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_restore_leaves_the_store_as_it_was(
    make_store: MakeStore, dump: Path, tmp_path: Path, step: str
) -> None:
    url = await make_store(*create_events(), *create_events())
    before = dict(await select_row_counts(url))
    programs = make_programs(tmp_path / "programs", STEPS[step])

    await run_until_killed(url, "restore", dump, "--replace", "--programs", programs)

    await assert_whole(url, before)
    await restore(url, dump, NOW, replace=True, verify=True, programs=None, on_month=ignore_month)
    assert (await select_row_counts(url))["event"] == 4


async def test_a_restore_killed_during_the_swap_leaves_the_store_as_it_was(
    make_store: MakeStore, dump: Path, tmp_path: Path
) -> None:
    url = await make_store(*create_events(), *create_events())
    before = dict(await select_row_counts(url))
    loaded = tmp_path / "loaded"
    programs = make_programs(
        tmp_path / "programs", {"psql": f'{{real}}/psql "$@" && touch {loaded}'}
    )
    process = start(url, "restore", dump, "--replace", "--programs", programs)
    await asyncio.to_thread(wait_for, loaded)
    blocker = await asyncpg.connect(url)
    await blocker.execute("BEGIN; LOCK TABLE audit_log IN SHARE MODE")

    await asyncio.to_thread(wait_until_blocked, url)
    process.kill()
    await asyncio.to_thread(process.communicate)
    await blocker.close()

    await assert_whole(url, before)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_blocked(url: str) -> None:
    """Wait until a connection waits for the lock of a table."""

    async def count() -> int:
        connection = await asyncpg.connect(url)
        blocked = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
        )
        await connection.close()
        return int(blocked)

    deadline = time.monotonic() + START_SECONDS
    while not asyncio.run(count()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_move_can_be_repeated(
    make_store: MakeStore, tmp_path: Path, step: str
) -> None:
    source, target = await make_store(*create_events()), await make_store()
    before, empty = dict(await select_row_counts(source)), dict(await select_row_counts(target))
    programs = make_programs(tmp_path / "programs", STEPS[step])

    await run_until_killed(source, "db", "move", "--to", target, "--programs", programs)

    await assert_whole(source, before)
    await assert_whole(target, empty)
    process = start(source, "db", "move", "--to", target)
    _, error = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, error
    await assert_whole(target, before)


async def test_a_killed_backup_leaves_no_backup_and_the_next_removes_its_file(
    make_store: MakeStore, tmp_path: Path
) -> None:
    url, backups = await make_store(*create_events()), tmp_path / "backups"
    backups.mkdir()
    programs = make_programs(
        tmp_path / "programs", {"pg_dump": '{real}/pg_dump "$@"; kill -9 $PPID'}
    )

    await run_until_killed(url, "backup", backups, "--programs", programs)

    (unfinished,) = backups.iterdir()
    assert unfinished.name.startswith(".chargeback-")
    await back_up(url, backups / "next.dump", programs=None)
    assert [file.name for file in backups.iterdir()] == ["next.dump"]


async def test_a_backup_in_progress_is_not_removed(make_store: MakeStore, tmp_path: Path) -> None:
    url = await make_store(*create_events())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    programs = make_programs(
        tmp_path / "programs", {"pg_dump": f'cat {fifo} >&2; {{real}}/pg_dump "$@"'}
    )
    slow = asyncio.create_task(back_up(url, tmp_path / "slow.dump", programs=programs))
    await asyncio.to_thread(wait_for, tmp_path / ".slow.dump.unfinished-backup")

    await back_up(url, tmp_path / "quick.dump", programs=None)
    await asyncio.to_thread(fifo.write_text, "")
    await slow

    verify_dump(tmp_path / "slow.dump")
    verify_dump(tmp_path / "quick.dump")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("CREATE VIEW bi AS SELECT name FROM workspace", "view bi depends on table workspace"),
        (
            "ALTER TABLE session RENAME TO aside; CREATE TABLE session (id integer)",
            "table session",
        ),
    ],
)
async def test_a_restore_drops_nothing_of_another_application(
    make_store: MakeStore, dump: Path, command: str, said: str
) -> None:
    url = await make_store()
    connection = await asyncpg.connect(url)
    await connection.execute(command)
    await connection.close()

    with pytest.raises(StoreInUse, match=said):
        await restore(
            url, dump, NOW, replace=True, verify=False, programs=None, on_month=ignore_month
        )

    assert "workspace" in await select_row_counts(url)
