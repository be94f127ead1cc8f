"""Move a store to a server over TCP, as a user who owns only a database."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from app.domain.errors import StoreUnavailable
from app.postgres.dumps import DumpFailed, write_dump
from app.postgres.embedded import EmbeddedPostgres
from app.postgres.staging import StoreInUse, StoreNotEmpty, select_row_counts
from app.services.store_admin import move
from tests.conftest import NOW
from tests.server_process import CHARGEBACK, clean_environment
from tests.store_admin.conftest import MakeStore, create_events, ignore_month


@pytest.fixture(scope="module")
async def second(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, int]]:
    """A second PostgreSQL: the superuser's URL, and a TCP port that leads to it."""
    async with EmbeddedPostgres(tmp_path_factory.mktemp("server")) as postgres:
        owner = await asyncpg.connect(postgres.url)
        await owner.execute("CREATE ROLE tenant LOGIN PASSWORD 'p@ss word'")
        await owner.close()
        (folder,) = parse_qs(urlsplit(postgres.url).query)["host"]
        async with await asyncio.start_server(
            _forward_to(f"{folder}/.s.PGSQL.5432"), "127.0.0.1"
        ) as tcp:
            yield postgres.url, tcp.sockets[0].getsockname()[1]


@pytest.fixture
async def server(second: tuple[str, int]) -> str:
    """The URL of an empty database on the second PostgreSQL, for an ordinary user."""
    superuser, port = second
    owner = await asyncpg.connect(superuser)
    await owner.execute("DROP DATABASE IF EXISTS reports")
    await owner.execute("CREATE DATABASE reports OWNER tenant")
    await owner.close()
    return f"postgresql://tenant:p%40ss%20word@127.0.0.1:{port}/reports"


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _forward_to(socket: str) -> Serve:
    async def copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(socket)
        await asyncio.gather(copy_stream(reader, inner_writer), copy_stream(inner_reader, writer))

    return serve


async def move_store(source: str, target: str) -> None:
    await move(source, target, NOW, programs=None, on_month=ignore_month)


async def test_every_row_is_copied_and_the_old_store_is_unchanged(
    make_store: MakeStore, server: str
) -> None:
    source = await make_store(*create_events())
    before = await select_row_counts(source)

    await move_store(source, server)

    assert await select_row_counts(server) == before == await select_row_counts(source)
    assert before["event"] == 4


async def test_the_password_comes_from_the_environment_and_not_from_the_command_line(
    make_store: MakeStore, server: str
) -> None:
    source = await make_store(*create_events())
    bare = server.replace(":p%40ss%20word@", "@")

    def run(target: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            (*CHARGEBACK, "db", "move", "--to", target),
            capture_output=True,
            text=True,
            env=clean_environment(DATABASE_URL=source, **environment),
            stdin=subprocess.DEVNULL,
            check=False,
        )

    refused = await asyncio.to_thread(run, server)
    moved = await asyncio.to_thread(run, bare, PGPASSWORD="p@ss word")

    assert (refused.returncode, moved.returncode) == (1, 0), (refused.stderr, moved.stderr)
    assert "set PGPASSWORD or type it" in " ".join(refused.stderr.split())
    assert (await select_row_counts(server))["event"] == 4


async def test_a_server_with_events_is_left_unchanged(make_store: MakeStore, server: str) -> None:
    await move_store(await make_store(*create_events()), server)

    with pytest.raises(StoreNotEmpty, match="choose an empty one"):
        await move_store(await make_store(), server)

    assert (await select_row_counts(server))["event"] == 4


async def test_a_store_in_use_is_not_moved(make_store: MakeStore, server: str) -> None:
    source = await make_store(*create_events())
    service = await asyncpg.connect(source)

    with pytest.raises(StoreInUse, match="stop the service"):
        await move_store(source, server)
    await service.close()

    assert await select_row_counts(server) == {}


async def test_an_unreachable_server_is_reported(make_store: MakeStore) -> None:
    with pytest.raises(StoreUnavailable, match="PostgreSQL cannot be reached"):
        await move_store(await make_store(), "postgresql://nobody@127.0.0.1:1/none")


async def test_a_server_that_requires_tls_needs_programs_with_tls(
    server: str, tmp_path: Path
) -> None:
    with pytest.raises(DumpFailed, match="SSL"):
        await write_dump(f"{server}?sslmode=require", tmp_path / "x.dump", None)
