"""The embedded PostgreSQL with several real processes: kills, stale files, foreign servers."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.clock import system_clock
from app.postgres.embedded import EmbeddedPostgres
from app.postgres.memory_limit import get_memory_limit
from app.postgres.programs import EmbeddedPostgresError
from app.server.store import open_store
from app.services.organizations import list_organizations
from app.settings import Settings

OWNER_PROGRAM = """
import asyncio, pathlib, sys
from app.postgres.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(pathlib.Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
# Permission bits do not bind root, so the program becomes `nobody`. It imports first, because
# `nobody` may not read the modules.
FAILING_PROGRAM = """
import asyncio, os, pathlib, sys
from app.postgres.embedded import EmbeddedPostgres
from app.postgres.programs import EmbeddedPostgresError

if os.geteuid() == 0:
    os.seteuid(65534)
try:
    asyncio.run(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start())
except EmbeddedPostgresError as error:
    print(error)
"""


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """A folder with a short path that other users may enter, unlike pytest's folders."""
    parent = Path(tempfile.mkdtemp(prefix="embedded-"))
    parent.chmod(0o755)
    yield parent / "store"
    shutil.rmtree(parent)


@pytest.fixture(scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    async with EmbeddedPostgres(folder):
        pass
    return folder


@pytest.fixture
def folder(new_folder: Path, template: Path) -> Path:
    """A data folder whose server has run before."""
    subprocess.run(["cp", "-a", str(template), str(new_folder)], check=True)
    return new_folder


def start_owner(folder: Path) -> subprocess.Popen[str]:
    """Start a process that opens the embedded server and prints its URL."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER_PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def read_url(process: subprocess.Popen[str]) -> str:
    """Wait until the process has opened the server; return the URL that it prints."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def stop_owner(process: subprocess.Popen[str]) -> int:
    """Let the process end, and return its exit status."""
    await asyncio.to_thread(process.communicate, "stop\n")
    return process.returncode


async def fetch_value(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def insert_number(url: str, number: int) -> None:
    await fetch_value(url, "CREATE TABLE IF NOT EXISTS note (number int)")
    await fetch_value(url, f"INSERT INTO note VALUES ({number})")


async def fetch_numbers(url: str) -> object:
    return await fetch_value(url, "SELECT array_agg(number ORDER BY number) FROM note")


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def list_modes(folder: Path) -> dict[str, int]:
    return {path.name: get_mode(path) for path in folder.iterdir()}


def start_unrelated_process(user: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "60"], user=user, cwd="/")


def socket_folder_of(url: str) -> Path:
    return Path(url.partition("host=")[2].partition("&")[0])


def postmaster_pid(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def has_new_postmaster(folder: Path, old_pid: int) -> bool:
    try:
        pid, *_, status = (folder / "cluster" / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return False
    return pid != str(old_pid) and status.strip() == "ready"


def kill_postmaster(folder: Path) -> None:
    os.kill(postmaster_pid(folder), signal.SIGKILL)


def forge_pid_file(path: Path, stale: str, pid: int, user: int) -> None:
    """Write a stale PID file again, with the process id of another process of that user."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([str(pid), *stale.splitlines()[1:]]) + "\n")
    for each in (path, path.parent):
        os.chown(each, user, -1)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_restart_keeps_rows(new_folder: Path) -> None:
    async with EmbeddedPostgres(new_folder) as server:
        await insert_number(server.url, 1)

    async with EmbeddedPostgres(new_folder) as server:
        assert await fetch_numbers(server.url) == [1]


async def test_the_url_works_with_sqlalchemy_and_for_other_databases(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        assert server.url == f"postgresql://postgres@/postgres?host={folder}/socket&port=5432"
        url = make_url(server.url).set(drivername="postgresql+asyncpg", database="template1")
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            database = await connection.scalar(text("SELECT current_database()"))
        await engine.dispose()

    assert database == "template1"


async def test_text_sorts_by_code_point_and_the_time_zone_is_utc(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        names = await fetch_value(
            server.url,
            "SELECT string_agg(name, '' ORDER BY name) FROM unnest('{b,é,a,B,_}'::text[]) name",
        )
        zone = await fetch_value(server.url, "SHOW timezone")

    assert (names, zone) == ("B_abé", "UTC")


async def test_shared_buffers_are_a_quarter_of_the_memory_within_limits(folder: Path) -> None:
    quarter = get_memory_limit() // 4 // 1_048_576

    async with EmbeddedPostgres(folder) as server:
        shared = await fetch_value(
            server.url,
            "SELECT setting::int * 8 / 1024 FROM pg_settings WHERE name = 'shared_buffers'",
        )

    assert shared == sorted([128, quarter, 1024])[1]


async def test_other_users_cannot_access_the_files(new_folder: Path) -> None:
    async with EmbeddedPostgres(new_folder):
        modes = list_modes(new_folder)

    assert modes == {"cluster": 0o700, "socket": 0o700, "log": 0o700} | dict.fromkeys(
        ["owner", "server"], 0o600
    )


async def test_a_killed_owner_leaves_nothing_running_and_loses_nothing(folder: Path) -> None:
    owner = start_owner(folder)
    await insert_number(await read_url(owner), 1)
    postmaster = postmaster_pid(folder)

    owner.kill()
    await stop_owner(owner)
    await wait_for(lambda: not is_alive(postmaster))

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_numbers(server.url) == [1]


async def test_a_start_right_after_the_owner_was_killed_waits_for_its_server(folder: Path) -> None:
    owner = start_owner(folder)
    await insert_number(await read_url(owner), 1)
    owner.kill()
    owner.wait()

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_numbers(server.url) == [1]
    await stop_owner(owner)


async def test_a_killed_server_is_restarted(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        old_pid = postmaster_pid(folder)

        kill_postmaster(folder)

        await wait_for(lambda: has_new_postmaster(folder, old_pid))
        assert await fetch_numbers(server.url) == [1]


async def test_a_killed_server_recovers_at_the_next_start(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        kill_postmaster(folder)

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_numbers(server.url) == [1]


async def test_a_second_process_attaches_and_leaves_the_server_alone(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        second = start_owner(folder)
        url = await read_url(second)
        await insert_number(url, 2)

        assert await stop_owner(second) == 0

        assert url == server.url
        assert await fetch_numbers(server.url) == [1, 2]


async def test_processes_that_start_concurrently_share_one_server(new_folder: Path) -> None:
    processes = [start_owner(new_folder) for _ in range(4)]

    urls = {await read_url(process) for process in processes}
    postmaster = postmaster_pid(new_folder)
    statuses = [await stop_owner(process) for process in processes]

    assert urls == {f"postgresql://postgres@/postgres?host={new_folder}/socket&port=5432"}
    assert statuses == [0, 0, 0, 0]
    await wait_for(lambda: not is_alive(postmaster))


async def test_a_new_store_that_is_opened_concurrently_is_created_once(new_folder: Path) -> None:
    async def open_and_list() -> list[str]:
        async with open_store(Settings.load(), new_folder, system_clock) as database:
            return [each.name for each in await list_organizations(database)]

    async with EmbeddedPostgres(new_folder / "postgres"):
        organizations = await asyncio.gather(*(open_and_list() for _ in range(8)))

    assert organizations == 8 * [["default"]]


async def test_an_attached_process_takes_over_when_the_owner_ends(folder: Path) -> None:
    owner = start_owner(folder)
    await insert_number(await read_url(owner), 1)
    async with EmbeddedPostgres(folder) as attached:
        first = postmaster_pid(folder)

        await stop_owner(owner)

        await wait_for(lambda: has_new_postmaster(folder, first))
        assert await fetch_numbers(attached.url) == [1]
        # The attached process owns the server now: others attach to it, and it stops it.
        other = start_owner(folder)
        assert await read_url(other) == attached.url
        assert await stop_owner(other) == 0
        new_pid = postmaster_pid(folder)
    await wait_for(lambda: not is_alive(new_pid))


async def test_one_of_several_attached_processes_takes_over(folder: Path) -> None:
    owner = start_owner(folder)
    await insert_number(await read_url(owner), 1)
    async with EmbeddedPostgres(folder) as one, EmbeddedPostgres(folder) as two:
        first = postmaster_pid(folder)
        owner.kill()
        await stop_owner(owner)

        await wait_for(lambda: has_new_postmaster(folder, first))

        await insert_number(one.url, 2)
        assert await fetch_numbers(two.url) == [1, 2]


async def test_a_stale_pid_that_another_process_has_now_is_ignored(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        stale = (folder / "cluster" / "postmaster.pid").read_text()
    # PostgreSQL mistakes a process for its predecessor only if both have the same user.
    user = (folder / "cluster").stat().st_uid
    stranger = start_unrelated_process(user)
    forge_pid_file(folder / "cluster" / "postmaster.pid", stale, stranger.pid, user)
    forge_pid_file(folder / "socket" / ".s.PGSQL.5432.lock", stale, stranger.pid, user)

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_numbers(server.url) == [1]

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_an_empty_pid_file_does_not_prevent_a_start(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
    (folder / "cluster" / "postmaster.pid").touch()

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_numbers(server.url) == [1]


async def test_a_server_that_somebody_else_started_is_left_alone(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        (folder / "owner").unlink()
        (folder / "server").unlink()

        with pytest.raises(EmbeddedPostgresError, match="started by somebody else: stop it first"):
            await EmbeddedPostgres(folder).start()

        assert await fetch_numbers(server.url) == [1]


async def test_two_servers_never_share_a_cluster(folder: Path) -> None:
    """All files that point to the first server are deleted."""
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        (folder / "owner").unlink()
        (folder / "server").unlink()
        (folder / "cluster" / "postmaster.pid").unlink()

        with pytest.raises(EmbeddedPostgresError, match="shared memory block"):
            await EmbeddedPostgres(folder).start()


async def test_an_interrupted_initdb_is_repeated(new_folder: Path) -> None:
    owner = start_owner(new_folder)
    await wait_for(lambda: (new_folder / "cluster.unfinished" / "PG_VERSION").exists())
    owner.kill()
    await stop_owner(owner)
    assert not (new_folder / "cluster").exists()

    async with EmbeddedPostgres(new_folder) as server:
        await insert_number(server.url, 1)
        assert await fetch_numbers(server.url) == [1]
    assert not (new_folder / "cluster.unfinished").exists()


@pytest.mark.parametrize("name", ["deep/" * 40 + "store", "with space, comma & 100% Ümlaut"])
async def test_long_and_unusual_paths_work(new_folder: Path, name: str) -> None:
    async with EmbeddedPostgres(new_folder / name) as server:
        second = start_owner(new_folder / name)
        assert await read_url(second) == server.url
        await stop_owner(second)
        assert await fetch_value(server.url, "SHOW data_directory") == str(
            new_folder / name / "cluster"
        )
        socket_folder = socket_folder_of(server.url)
        assert socket_folder.parent == Path(tempfile.gettempdir())
    assert not socket_folder.exists()


async def test_a_socket_folder_that_is_a_symbolic_link_is_rejected(new_folder: Path) -> None:
    deep = new_folder / ("deep/" * 40)
    async with EmbeddedPostgres(deep) as server:
        socket_folder = socket_folder_of(server.url)
    socket_folder.symlink_to(new_folder)

    with pytest.raises(
        EmbeddedPostgresError, match=f"{socket_folder} must be a folder of the user"
    ):
        await EmbeddedPostgres(deep).start()

    socket_folder.unlink()


async def test_a_moved_folder_starts_at_its_new_place(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert_number(server.url, 1)
        kill_postmaster(folder)
    shutil.move(folder, folder.with_name("moved"))

    async with EmbeddedPostgres(folder.with_name("moved")) as server:
        assert await fetch_numbers(server.url) == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_the_folder_may_be_below_one_that_only_root_can_enter(new_folder: Path) -> None:
    new_folder.parent.chmod(0o700)
    owner = start_owner(new_folder)
    await insert_number(await read_url(owner), 1)
    postmaster = postmaster_pid(new_folder)
    owner.kill()
    await stop_owner(owner)
    await wait_for(lambda: not is_alive(postmaster))

    async with EmbeddedPostgres(new_folder) as server:
        assert await fetch_numbers(server.url) == [1]

    assert get_mode(new_folder.parent) == 0o700


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("PG_VERSION", None, "PG_VERSION. is missing"),
        ("PG_VERSION", "", "PG_VERSION. does not contain valid data"),
        ("PG_VERSION", "17\n", "initialized by PostgreSQL version 17"),
        ("global/pg_control", "", "could not read file .global/pg_control"),
    ],
)
async def test_a_broken_cluster_is_kept_and_reported_in_one_line(
    folder: Path, file: str, content: str | None, reason: str
) -> None:
    async with EmbeddedPostgres(folder):
        pass
    broken = folder / "cluster" / file
    broken.unlink() if content is None else broken.write_text(content)

    with pytest.raises(EmbeddedPostgresError, match=reason) as error:
        await EmbeddedPostgres(folder).start()

    assert "\n" not in str(error.value)
    assert (folder / "cluster" / "base").is_dir()


def test_the_error_names_a_read_only_folder(new_folder: Path) -> None:
    new_folder.mkdir(mode=0o555)
    command = [sys.executable, "-c", FAILING_PROGRAM, str(new_folder)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)

    assert completed.stdout == f"PostgreSQL cannot use {new_folder}/owner: Permission denied.\n"


async def test_a_start_that_times_out_leaves_nothing_behind(folder: Path) -> None:
    async with EmbeddedPostgres(folder):
        pass
    server_without_time = EmbeddedPostgres(folder, timeout_seconds=0)

    with pytest.raises(EmbeddedPostgresError, match="was not ready in time"):
        await server_without_time.start()
    with pytest.raises(EmbeddedPostgresError, match="has not been started"):
        _ = server_without_time.url

    async with EmbeddedPostgres(folder) as server:
        assert await fetch_value(server.url, "SELECT 1") == 1
