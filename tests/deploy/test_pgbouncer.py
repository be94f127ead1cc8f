"""Two services share a few connections through pgbouncer in transaction mode.

`make deploy` runs these tests. They need Debian's package pgbouncer.
"""

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.postgres.database import with_database_name
from app.postgres.embedded import EmbeddedPostgres
from tests.conftest import event, execute_as_superuser
from tests.server_process import CHARGEBACK, ServerProcess, clean_environment

pytestmark = pytest.mark.deploy

REPORT = "/api/admin/chargeback/report?reportMonth=2026-10"
QUERY = (
    '{ chargebackReport(month: "2026-10") { totalSizeBytes users { numberOfUsers }'
    " workspaces { name members { userName totalSizeBytes } projects { name totalSizeBytes } } } }"
)


class Store(NamedTuple):
    """URLs of one database: through pgbouncer, and directly."""

    pooled: str
    direct: str


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter; pytest's temporary folders belong to root only."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[str]:
    async with EmbeddedPostgres(folder / "postgres") as server:
        await execute_as_superuser(server.url, "CREATE ROLE owner LOGIN")
        await execute_as_superuser(server.url, "CREATE DATABASE reports OWNER owner")
        yield server.url


@contextmanager
def run_pgbouncer(folder: Path, server: str, user: str, pool_size: int) -> Iterator[Store]:
    """Run pgbouncer in transaction mode with at most `pool_size` connections to PostgreSQL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sockets = Path(server.split("host=")[1].split("&")[0])
    (folder / "users").write_text(f'"{user}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nreports = host={sockets} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        f"pool_mode = transaction\ndefault_pool_size = {pool_size}\n"
    )
    # pgbouncer refuses to run as root, and only PostgreSQL's user may enter its socket folder.
    account = sockets.stat().st_uid if os.geteuid() == 0 else None
    words = ("/usr/sbin/pgbouncer", "--quiet", folder / "pgbouncer.ini")
    process = subprocess.Popen(words, user=account, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        direct = with_database_name(server, "reports").replace("postgres@", f"{user}@")
        yield Store(f"postgresql://{user}@127.0.0.1:{port}/reports", direct)
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("pgbouncer does not listen")


def run_command(
    url: str, *words: str | Path, settings: Mapping[str, str] = {}, standard_input: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    settings = {**settings, "DATABASE_URL": url}
    return subprocess.run(
        (*CHARGEBACK, *words),
        input=standard_input,
        capture_output=True,
        check=False,
        env=clean_environment(**settings),
    )


def chargeback(
    url: str, *words: str | Path, settings: Mapping[str, str] = {}, standard_input: bytes = b""
) -> str:
    """Run a chargeback command that must succeed, and return its output."""
    completed = run_command(url, *words, settings=settings, standard_input=standard_input)
    assert completed.returncode == 0, (words, completed.stdout, completed.stderr)
    return completed.stdout.decode().strip()


@pytest.mark.parametrize(
    ("user", "pool_size", "shared_snapshots"),
    # Fewer connections than the two pools have together, and as many.
    [("owner", 4, "false"), ("postgres", 20, "true")],
)
async def test_two_services_work_behind_pgbouncer_with_the_documented_settings(
    folder: Path, postgres: str, user: str, pool_size: int, shared_snapshots: str
) -> None:
    settings = {
        "DATABASE_PREPARED_STATEMENTS": "false",
        "DATABASE_SHARED_SNAPSHOTS": shared_snapshots,
        "ADMIN_USER_LIST": "ada",
    }
    demo = chargeback("", "generate", "--months", "3", "--users", "60", "--until", "2026-11")
    with run_pgbouncer(folder, postgres, user, pool_size) as store:
        chargeback(store.pooled, "import", "-", settings=settings, standard_input=demo.encode())
        words = ("keys", "create", "--user", "ada", "--scope", "admin", "--scope", "events:write")
        key = chargeback(store.pooled, *words, settings=settings).removeprefix("API key: ")
        pooled_settings = {**settings, "DATABASE_URL": store.pooled}
        with ExitStack() as stack:
            urls = [
                stack.enter_context(
                    ServerProcess(folder / each, arguments=(), settings=pooled_settings)
                ).url
                for each in ("one", "other")
            ]
            responses = await count_concurrent_responses(urls, key)
        verified = chargeback(store.pooled, "months", "verify", "2026-10", settings=settings)
        chargeback(store.pooled, "months", "close", "2026-10", settings=settings)
        pooled_report, direct_report = (
            chargeback(url, "report", "2026-10", "--format", "json", settings=settings)
            for url in store
        )

    assert responses == {("rest", 200): 60, ("graphql", 200): 120, ("events", 200): 60}
    assert verified == "2026-10 matches its events"
    assert pooled_report == direct_report


async def count_concurrent_responses(urls: list[str], key: str) -> Counter[tuple[str, int]]:
    """Send six rounds of 40 concurrent requests to both services; count the responses."""
    async with httpx.AsyncClient(headers={"Authorization": key}, timeout=60) as client:

        async def send(number: int) -> tuple[str, int]:
            url = urls[number // 4 % len(urls)]
            match number % 4:
                case 0:
                    return "rest", (await client.get(url + REPORT)).status_code
                case 1:
                    usage = event("usage.recorded", "2026-10-05T00:00:00Z", **USAGE)
                    headers = {"Content-Type": "application/cloudevents+json"}
                    stored = await client.post(url + "/api/events", content=usage, headers=headers)
                    return "events", stored.status_code
                case _:
                    result = await client.post(url + "/graphql", json={"query": QUERY})
                    assert "errors" not in result.json()
                    return "graphql", result.status_code

        responses: Counter[tuple[str, int]] = Counter()
        for _ in range(6):
            responses.update(await asyncio.gather(*map(send, range(40))))
        return responses


USAGE = {"workspace": "vision", "username": "ada", "channel": "ui"}


async def test_without_the_prepared_statements_setting_the_error_names_it(
    folder: Path, postgres: str
) -> None:
    with run_pgbouncer(folder, postgres, "owner", 2) as store:
        one, other = (Database(store.pooled, pool_size=1) for _ in range(2))
        async with one.owner_transaction():
            pass
        # `other` now holds the connection on which `one` prepared its statement.
        async with other.owner_transaction():
            with pytest.raises(StoreUnavailable, match="DATABASE_PREPARED_STATEMENTS=false"):
                async with one.owner_transaction():
                    pass
        await one.close()
        await other.close()


async def test_backup_and_restore_work_only_on_a_direct_connection(
    folder: Path, postgres: str
) -> None:
    file = folder / "reports.dump"
    with run_pgbouncer(folder, postgres, "owner", 2) as store:
        chargeback(store.direct, "organizations", "create", "research")
        failed = run_command(store.pooled, "backup", file)
        chargeback(store.direct, "backup", file)
        chargeback(store.direct, "restore", file, "--replace")
        organizations = chargeback(store.pooled, "organizations", "list")

    assert failed.returncode == 1
    assert b"unsupported startup parameter" in failed.stderr
    assert "research" in organizations
