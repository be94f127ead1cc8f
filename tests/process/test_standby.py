"""Commands on a standby, which replicates a primary and is read-only."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from app.postgres.database import open_database
from app.postgres.embedded import EmbeddedPostgres
from app.postgres.programs import Programs, make_private_folder
from tests.server_process import run_command

LINE = (
    "Error: The server of DATABASE_URL is a standby, which cannot store anything: name its "
    "primary, or all servers and target_session_attrs=read-write."
)


@pytest.fixture(scope="module")
async def standby(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a streaming standby of a migrated store."""
    folder = tmp_path_factory.mktemp("standby")
    async with EmbeddedPostgres(tmp_path_factory.mktemp("primary")) as primary:
        async with open_database(primary.url, Path()):
            pass
        with (folder / "lock").open("wb") as lock:
            programs = Programs.for_folder(folder, lock)
            make_private_folder(folder / "cluster", programs.account)
            sockets = make_private_folder(folder / "sockets", programs.account)
            copy = programs.spawn(
                "pg_basebackup", "-d", primary.url, "-D", str(folder / "cluster"), "-R"
            )
            assert copy.wait(60) == 0, (folder / "log" / "start.log").read_text()
            server = programs.spawn(
                "postgres",
                *("-D", str(folder / "cluster")),
                *("--listen_addresses=", f"--unix_socket_directories={sockets}"),
            )
            try:
                parts = urlsplit(primary.url)
                url = primary.url.replace(parse_qs(parts.query)["host"][0], str(sockets))
                await wait_until_it_replicates(url)
                yield url
            finally:
                server.terminate()
                server.wait(30)


async def wait_until_it_replicates(url: str) -> None:
    for _ in range(300):
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.1)
            continue
        assert await connection.fetchval("SELECT pg_is_in_recovery()")
        await connection.close()
        return
    raise AssertionError(url)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "2026-10"),
        ("serve", "--port", "0"),
        ("serve", "--port", "0", "--workers", "2"),
    ],
)
def test_a_command_on_a_standby_ends_in_one_line(
    standby: str, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ended: subprocess.CompletedProcess[str] = run_command(
        *arguments, data_dir=tmp_path, settings={"DATABASE_URL": standby}
    )

    assert ended.returncode == 1
    assert " ".join(ended.stderr.split()).endswith(LINE)
    assert "Traceback" not in ended.stderr
