"""A restore brings back every row and verifies it, or leaves the store unchanged."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from app.postgres.dumps import DumpFailed, NoDump
from app.postgres.staging import StoreInUse, StoreNotEmpty, select_row_counts
from app.services.store_admin import (
    VerificationFailed,
    back_up,
    choose_backup_file,
    delete_old_backups,
    restore,
)
from tests.conftest import NOW
from tests.server_process import ServerProcess, run_command
from tests.store_admin.conftest import MakeStore, create_events, execute, ignore_month


async def restore_dump(
    url: str, file: Path, *, replace: bool = False, verify: bool = True
) -> None:
    await restore(
        url, file, NOW, replace=replace, verify=verify, programs=None, on_month=ignore_month
    )


@pytest.fixture
async def dump(make_store: MakeStore, tmp_path: Path) -> Path:
    """A dump of a store with the events of one user."""
    file = tmp_path / "one.dump"
    await back_up(await make_store(*create_events()), file, programs=None)
    return file


async def test_every_row_comes_back(make_store: MakeStore, tmp_path: Path) -> None:
    source, target = await make_store(*create_events()), await make_store()

    await back_up(source, tmp_path / "all.dump", programs=None)
    await restore_dump(target, tmp_path / "all.dump")

    counts = await select_row_counts(target)
    assert counts == await select_row_counts(source)
    assert (counts["event"], counts["platform_user"]) == (4, 1)


def test_an_impossible_path_is_reported_with_the_reason() -> None:
    with pytest.raises(DumpFailed, match="File name too long"):
        choose_backup_file(Path(300 * "x"), NOW)


def test_only_its_owner_can_read_a_dump(dump: Path) -> None:
    assert dump.stat().st_mode & 0o777 == 0o600
    assert list(dump.parent.iterdir()) == [dump]


async def test_a_store_with_events_is_replaced_only_with_replace(
    make_store: MakeStore, dump: Path
) -> None:
    target = await make_store(*create_events(), *create_events())

    with pytest.raises(StoreNotEmpty, match="--replace"):
        await restore_dump(target, dump)
    assert (await select_row_counts(target))["event"] == 8

    await restore_dump(target, dump, replace=True)
    assert (await select_row_counts(target))["event"] == 4


@pytest.mark.parametrize("damage", [lambda dump: dump[:-1], lambda dump: dump.replace(b"w", b"v")])
async def test_a_damaged_dump_leaves_the_store_as_it_was(
    make_store: MakeStore, dump: Path, damage: Callable[[bytes], bytes]
) -> None:
    """From a truncated dump, pg_restore itself may silently restore fewer rows."""
    target = await make_store(*create_events(), *create_events())
    before = await select_row_counts(target)
    await asyncio.to_thread(lambda: dump.write_bytes(damage(dump.read_bytes())))

    with pytest.raises(NoDump, match="is not a complete backup"):
        await restore_dump(target, dump, replace=True)

    assert await select_row_counts(target) == before


async def test_a_program_that_fails_leaves_the_store_as_it_was(
    make_store: MakeStore, dump: Path, tmp_path: Path
) -> None:
    target = await make_store(*create_events(), *create_events())
    before = await select_row_counts(target)

    with pytest.raises(DumpFailed, match="pg_restore: cannot be run: No such file"):
        await restore(
            target, dump, NOW, replace=True, verify=True, programs=tmp_path, on_month=ignore_month
        )

    assert await select_row_counts(target) == before


async def test_a_dump_with_wrong_figures_leaves_the_store_as_it_was(
    make_store: MakeStore, tmp_path: Path
) -> None:
    source, target = await make_store(*create_events()), await make_store(*create_events())
    await execute(source, "UPDATE workspace_month SET size_bytes = size_bytes + 1")
    await back_up(source, tmp_path / "wrong.dump", programs=None)

    with pytest.raises(VerificationFailed, match="default, 2026-"):
        await restore_dump(target, tmp_path / "wrong.dump", replace=True)
    kept = await select_row_counts(target)

    await restore_dump(target, tmp_path / "wrong.dump", replace=True, verify=False)
    assert kept["event"] == 4


async def test_a_store_in_use_is_not_replaced(make_store: MakeStore, dump: Path) -> None:
    target = await make_store()
    other = await asyncpg.connect(target)

    with pytest.raises(StoreInUse, match=r"1 other connections\. First stop the service"):
        await restore_dump(target, dump)
    await other.close()

    assert (await select_row_counts(target))["event"] == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.dump", None, "cannot be read: No such file or directory"),
        ("text.dump", b"SELECT 1;\n", "is not a complete backup that `chargeback backup` wrote"),
    ],
)
async def test_a_file_that_is_not_a_dump_is_rejected(
    make_store: MakeStore, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(NoDump, match=message):
        await restore_dump(await make_store(), tmp_path / name)


def test_the_backup_just_written_is_kept_even_if_the_clock_was_ahead_before(
    tmp_path: Path,
) -> None:
    names = ["chargeback-20261101T000000Z.dump", "chargeback-20280101T000000Z.dump"]
    for name in names:
        (tmp_path / name).touch()

    assert delete_old_backups(tmp_path, 1, written=tmp_path / names[0]) == []


async def test_a_backup_overwrites_nothing(dump: Path) -> None:
    with pytest.raises(StoreNotEmpty, match="exists; a backup never overwrites"):
        choose_backup_file(dump, NOW)


def test_a_folder_keeps_the_latest_backups_and_foreign_files(tmp_path: Path) -> None:
    names = [f"chargeback-2026110{day}T000000Z.dump" for day in (1, 2, 3)]
    own = ["chargeback-before-the-move.dump", "other.dump"]
    for name in [*names, *own]:
        (tmp_path / name).touch()

    removed = delete_old_backups(tmp_path, 2, written=tmp_path / names[2])

    assert [file.name for file in removed] == names[:1]
    assert sorted(file.name for file in tmp_path.iterdir()) == [*names[1:], *own]
    assert choose_backup_file(tmp_path, NOW) == tmp_path / "chargeback-20261124T120000Z.dump"


def test_the_commands_copy_a_served_store_to_another_folder(tmp_path: Path) -> None:
    first, second, backups = (tmp_path / name for name in ("first", "second", "backups"))
    backups.mkdir()
    with ServerProcess(first, arguments=()):
        lines = b"\n".join(create_events())
        run_command("import", "-", data_dir=first, standard_input=lines)
        saved = run_command("backup", str(backups), "--keep", "7", data_dir=first)
        in_use = run_command("restore", *map(str, backups.iterdir()), "--replace", data_dir=first)
        report = run_command("report", "2026-10", "--format", "json", data_dir=first).stdout

    (file,) = backups.iterdir()
    back = run_command("restore", str(file), data_dir=second)

    assert saved.stdout.startswith(f"wrote {file}, "), saved.stderr
    assert in_use.returncode == 1
    assert "stop the service" in in_use.stderr
    assert back.stdout == f"restored {file}\n", back.stderr
    again = run_command("report", "2026-10", "--format", "json", data_dir=second).stdout
    assert json.loads(again)["workspaces"] == json.loads(report)["workspaces"] != []
