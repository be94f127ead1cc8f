"""The embedded PostgreSQL, as only real processes show it: kills, stale files, strangers."""

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

OWNER = """
import asyncio, pathlib, sys
from app.postgres.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(pathlib.Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
# Root ignores permission bits, so it becomes nobody: after its imports, which nobody may not read.
REFUSED = """
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
    """Short, and not below pytest's own 0700 folder, as most installs are."""
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
    """Started once before, and stopped."""
    subprocess.run(["cp", "-a", str(template), str(new_folder)], check=True)
    return new_folder


def owner_process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def started(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def end(process: subprocess.Popen[str]) -> int:
    await asyncio.to_thread(process.communicate, "stop\n")
    return process.returncode


async def statement(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def write(url: str, number: int) -> None:
    await statement(url, "CREATE TABLE IF NOT EXISTS note (number int)")
    await statement(url, f"INSERT INTO note VALUES ({number})")


async def read(url: str) -> object:
    return await statement(url, "SELECT array_agg(number ORDER BY number) FROM note")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in folder.iterdir()}


def process_of(user: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "60"], user=user, cwd="/")


def socket_folder_of(url: str) -> Path:
    return Path(url.partition("host=")[2].partition("&")[0])


def postmaster_pid(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def has_other_postmaster(folder: Path, than: int) -> bool:
    try:
        pid, *_, status = (folder / "cluster" / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return False
    return pid != str(than) and status.strip() == "ready"


def kill(folder: Path) -> None:
    os.kill(postmaster_pid(folder), signal.SIGKILL)


def forge(path: Path, stale: str, pid: int, user: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([str(pid), *stale.splitlines()[1:]]) + "\n")
    for changed in (path, path.parent):
        os.chown(changed, user, -1)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_restart_keeps_rows(new_folder: Path) -> None:
    async with EmbeddedPostgres(new_folder) as server:
        await write(server.url, 1)

    async with EmbeddedPostgres(new_folder) as server:
        assert await read(server.url) == [1]


async def test_its_url_suits_sqlalchemy_and_names_any_database(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        assert server.url == f"postgresql://postgres@/postgres?host={folder}/socket&port=5432"
        url = make_url(server.url).set(drivername="postgresql+asyncpg", database="template1")
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            database = await connection.scalar(text("SELECT current_database()"))
        await engine.dispose()

    assert database == "template1"


async def test_text_is_in_code_point_order_and_time_in_utc(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        names = await statement(
            server.url,
            "SELECT string_agg(name, '' ORDER BY name) FROM unnest('{b,é,a,B,_}'::text[]) name",
        )
        zone = await statement(server.url, "SHOW timezone")

    assert (names, zone) == ("B_abé", "UTC")


async def test_pages_are_kept_in_a_quarter_of_the_memory(folder: Path) -> None:
    quarter = get_memory_limit() // 4 // 1_048_576

    async with EmbeddedPostgres(folder) as server:
        shared = await statement(
            server.url,
            "SELECT setting::int * 8 / 1024 FROM pg_settings WHERE name = 'shared_buffers'",
        )

    assert shared == sorted([128, quarter, 1024])[1]


async def test_no_other_user_can_enter(new_folder: Path) -> None:
    async with EmbeddedPostgres(new_folder):
        modes = modes_in(new_folder)

    assert modes == {"cluster": 0o700, "socket": 0o700, "log": 0o700} | dict.fromkeys(
        ["owner", "server"], 0o600
    )


async def test_a_killed_owner_leaves_nothing_running_and_loses_nothing(folder: Path) -> None:
    owner = owner_process(folder)
    await write(await started(owner), 1)
    postmaster = postmaster_pid(folder)

    owner.kill()
    await end(owner)
    await eventually(lambda: not is_alive(postmaster))

    async with EmbeddedPostgres(folder) as server:
        assert await read(server.url) == [1]


async def test_a_start_right_after_the_owner_was_killed_waits_for_its_server(folder: Path) -> None:
    owner = owner_process(folder)
    await write(await started(owner), 1)
    owner.kill()
    owner.wait()

    async with EmbeddedPostgres(folder) as server:
        assert await read(server.url) == [1]
    await end(owner)


async def test_a_killed_server_is_started_again(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        killed = postmaster_pid(folder)

        kill(folder)

        await eventually(lambda: has_other_postmaster(folder, killed))
        assert await read(server.url) == [1]


async def test_a_killed_server_recovers_at_the_next_start(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        kill(folder)

    async with EmbeddedPostgres(folder) as server:
        assert await read(server.url) == [1]


async def test_a_second_process_attaches_and_leaves_the_server_alone(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        second = owner_process(folder)
        url = await started(second)
        await write(url, 2)

        assert await end(second) == 0

        assert url == server.url
        assert await read(server.url) == [1, 2]


async def test_processes_that_start_at_once_share_one_server(new_folder: Path) -> None:
    processes = [owner_process(new_folder) for _ in range(4)]

    urls = {await started(process) for process in processes}
    postmaster = postmaster_pid(new_folder)
    codes = [await end(process) for process in processes]

    assert urls == {f"postgresql://postgres@/postgres?host={new_folder}/socket&port=5432"}
    assert codes == [0, 0, 0, 0]
    await eventually(lambda: not is_alive(postmaster))


async def test_a_new_store_that_several_open_at_once_is_made_once(new_folder: Path) -> None:
    async def open_it() -> list[str]:
        async with open_store(Settings.load(), new_folder, system_clock) as database:
            return [each.name for each in await list_organizations(database)]

    async with EmbeddedPostgres(new_folder / "postgres"):
        found = await asyncio.gather(*(open_it() for _ in range(8)))

    assert found == 8 * [["default"]]


async def test_who_attached_goes_on_once_its_owner_is_gone(folder: Path) -> None:
    owner = owner_process(folder)
    await write(await started(owner), 1)
    async with EmbeddedPostgres(folder) as attached:
        first = postmaster_pid(folder)

        await end(owner)

        await eventually(lambda: has_other_postmaster(folder, first))
        assert await read(attached.url) == [1]
        # It owns the server now: others attach to it, and it ends with it.
        other = owner_process(folder)
        assert await started(other) == attached.url
        assert await end(other) == 0
        taken_over = postmaster_pid(folder)
    await eventually(lambda: not is_alive(taken_over))


async def test_of_several_that_attached_one_takes_over(folder: Path) -> None:
    owner = owner_process(folder)
    await write(await started(owner), 1)
    async with EmbeddedPostgres(folder) as one, EmbeddedPostgres(folder) as two:
        first = postmaster_pid(folder)
        owner.kill()
        await end(owner)

        await eventually(lambda: has_other_postmaster(folder, first))

        await write(one.url, 2)
        assert await read(two.url) == [1, 2]


async def test_a_stale_pid_of_a_stranger_harms_neither(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        stale = (folder / "cluster" / "postmaster.pid").read_text()
    # PostgreSQL takes only a process of its own user for its predecessor.
    user = (folder / "cluster").stat().st_uid
    stranger = process_of(user)
    forge(folder / "cluster" / "postmaster.pid", stale, stranger.pid, user)
    forge(folder / "socket" / ".s.PGSQL.5432.lock", stale, stranger.pid, user)

    async with EmbeddedPostgres(folder) as server:
        assert await read(server.url) == [1]

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_an_empty_pid_file_is_stale(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
    (folder / "cluster" / "postmaster.pid").touch()

    async with EmbeddedPostgres(folder) as server:
        assert await read(server.url) == [1]


async def test_a_server_that_the_lock_does_not_know_is_left_alone(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        (folder / "owner").unlink()
        (folder / "server").unlink()

        with pytest.raises(EmbeddedPostgresError, match="started by somebody else: stop it first"):
            await EmbeddedPostgres(folder).start()

        assert await read(server.url) == [1]


async def test_two_servers_never_share_a_cluster(folder: Path) -> None:
    """Even if every file that tells of the first one is lost."""
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        (folder / "owner").unlink()
        (folder / "server").unlink()
        (folder / "cluster" / "postmaster.pid").unlink()

        with pytest.raises(EmbeddedPostgresError, match="shared memory block"):
            await EmbeddedPostgres(folder).start()


async def test_an_interrupted_initdb_is_begun_anew(new_folder: Path) -> None:
    owner = owner_process(new_folder)
    await eventually(lambda: (new_folder / "cluster.unfinished" / "PG_VERSION").exists())
    owner.kill()
    await end(owner)
    assert not (new_folder / "cluster").exists()

    async with EmbeddedPostgres(new_folder) as server:
        await write(server.url, 1)
        assert await read(server.url) == [1]
    assert not (new_folder / "cluster.unfinished").exists()


@pytest.mark.parametrize("name", ["deep/" * 40 + "store", "with space, comma & 100% Ümlaut"])
async def test_any_path_will_do(new_folder: Path, name: str) -> None:
    async with EmbeddedPostgres(new_folder / name) as server:
        second = owner_process(new_folder / name)
        assert await started(second) == server.url
        await end(second)
        assert await statement(server.url, "SHOW data_directory") == str(
            new_folder / name / "cluster"
        )
        socket_folder = socket_folder_of(server.url)
        assert socket_folder.parent == Path(tempfile.gettempdir())
    assert not socket_folder.exists()


async def test_somebody_else_s_socket_folder_is_refused(new_folder: Path) -> None:
    deep = new_folder / ("deep/" * 40)
    async with EmbeddedPostgres(deep) as server:
        socket_folder = socket_folder_of(server.url)
    socket_folder.symlink_to(new_folder)

    with pytest.raises(
        EmbeddedPostgresError, match=f"{socket_folder} must be a folder of the user"
    ):
        await EmbeddedPostgres(deep).start()

    socket_folder.unlink()


async def test_a_moved_folder_starts_where_it_is(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await write(server.url, 1)
        kill(folder)
    shutil.move(folder, folder.with_name("moved"))

    async with EmbeddedPostgres(folder.with_name("moved")) as server:
        assert await read(server.url) == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_root_may_keep_it_below_a_folder_of_root_s_alone(new_folder: Path) -> None:
    new_folder.parent.chmod(0o700)
    owner = owner_process(new_folder)
    await write(await started(owner), 1)
    postmaster = postmaster_pid(new_folder)
    owner.kill()
    await end(owner)
    await eventually(lambda: not is_alive(postmaster))

    async with EmbeddedPostgres(new_folder) as server:
        assert await read(server.url) == [1]

    assert mode(new_folder.parent) == 0o700


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("PG_VERSION", None, "PG_VERSION. is missing"),
        ("PG_VERSION", "", "PG_VERSION. does not contain valid data"),
        ("PG_VERSION", "17\n", "initialized by PostgreSQL version 17"),
        ("global/pg_control", "", "could not read file .global/pg_control"),
    ],
)
async def test_a_broken_cluster_is_refused_in_one_line_and_kept(
    folder: Path, file: str, content: str | None, reason: str
) -> None:
    async with EmbeddedPostgres(folder):
        pass
    broken = folder / "cluster" / file
    broken.unlink() if content is None else broken.write_text(content)

    with pytest.raises(EmbeddedPostgresError, match=reason) as refusal:
        await EmbeddedPostgres(folder).start()

    assert "\n" not in str(refusal.value)
    assert (folder / "cluster" / "base").is_dir()


def test_a_read_only_folder_is_named(new_folder: Path) -> None:
    new_folder.mkdir(mode=0o555)
    command = [sys.executable, "-c", REFUSED, str(new_folder)]
    refused = subprocess.run(command, capture_output=True, text=True, check=True)

    assert refused.stdout == f"PostgreSQL cannot use {new_folder}/owner: Permission denied.\n"


async def test_a_start_that_takes_too_long_leaves_nothing_behind(folder: Path) -> None:
    async with EmbeddedPostgres(folder):
        pass
    impatient = EmbeddedPostgres(folder, timeout_seconds=0)

    with pytest.raises(EmbeddedPostgresError, match="was not ready in time"):
        await impatient.start()
    with pytest.raises(EmbeddedPostgresError, match="has not been started"):
        _ = impatient.url

    async with EmbeddedPostgres(folder) as server:
        assert await statement(server.url, "SELECT 1") == 1
