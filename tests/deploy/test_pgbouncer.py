"""Behind pgbouncer in transaction mode: two services, few connections, everything at once.

Debian's package of pgbouncer is needed: `make deploy`.
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
    """One database by two ways."""

    pooled: str
    direct: str


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where another user than root may enter, which it may not below pytest's own."""
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
def pgbouncer(folder: Path, server: str, user: str, pool_size: int) -> Iterator[Store]:
    """In transaction mode, with so many connections to PostgreSQL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    sockets = Path(server.split("host=")[1].split("&")[0])
    (folder / "users").write_text(f'"{user}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nreports = host={sockets} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        f"pool_mode = transaction\ndefault_pool_size = {pool_size}\n"
    )
    # It refuses to be root, and the way to the server is open to the server's own user.
    account = sockets.stat().st_uid if os.geteuid() == 0 else None
    words = ("/usr/sbin/pgbouncer", "--quiet", folder / "pgbouncer.ini")
    running = subprocess.Popen(words, user=account, stderr=subprocess.DEVNULL)
    try:
        await_port(port)
        direct = with_database_name(server, "reports").replace("postgres@", f"{user}@")
        yield Store(f"postgresql://{user}@127.0.0.1:{port}/reports", direct)
    finally:
        running.terminate()
        running.wait()


def await_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("pgbouncer does not listen")


def ended(
    url: str, *words: str | Path, settings: Mapping[str, str] = {}, told: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    settings = {**settings, "DATABASE_URL": url}
    return subprocess.run(
        (*CHARGEBACK, *words),
        input=told,
        capture_output=True,
        check=False,
        env=clean_environment(**settings),
    )


def chargeback(
    url: str, *words: str | Path, settings: Mapping[str, str] = {}, told: bytes = b""
) -> str:
    done = ended(url, *words, settings=settings, told=told)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("user", "pool_size", "shared_snapshots"),
    # Fewer connections than the services have between them, and as many.
    [("owner", 4, "false"), ("postgres", 20, "true")],
)
async def test_everything_works_behind_it_with_the_documented_settings(
    folder: Path, postgres: str, user: str, pool_size: int, shared_snapshots: str
) -> None:
    settings = {
        "DATABASE_PREPARED_STATEMENTS": "false",
        "DATABASE_SHARED_SNAPSHOTS": shared_snapshots,
        "ADMIN_USER_LIST": "ada",
    }
    demo = chargeback("", "generate", "--months", "3", "--users", "60", "--until", "2026-11")
    with pgbouncer(folder, postgres, user, pool_size) as store:
        chargeback(store.pooled, "import", "-", settings=settings, told=demo.encode())
        words = ("keys", "create", "--user", "ada", "--scope", "admin")
        key = chargeback(store.pooled, *words, settings=settings).removeprefix("API key: ")
        behind = {**settings, "DATABASE_URL": store.pooled}
        with ExitStack() as stack:
            urls = [
                stack.enter_context(
                    ServerProcess(folder / each, arguments=(), settings=behind)
                ).url
                for each in ("one", "other")
            ]
            answers = await count_concurrent_responses(urls, key)
        verified = chargeback(store.pooled, "months", "verify", "2026-10", settings=settings)
        chargeback(store.pooled, "months", "close", "2026-10", settings=settings)
        through, past = (
            chargeback(url, "report", "2026-10", "--format", "json", settings=settings)
            for url in store
        )

    assert answers == {("rest", 200): 60, ("graphql", 200): 120, ("events", 200): 60}
    assert verified == "2026-10 matches its events"
    assert through == past


async def count_concurrent_responses(urls: list[str], key: str) -> Counter[tuple[str, int]]:
    """Send 40 requests at a time, six times, to the services in turn; count them by status."""
    async with httpx.AsyncClient(headers={"Authorization": key}, timeout=60) as client:

        async def ask(number: int) -> tuple[str, int]:
            url = urls[number // 4 % len(urls)]
            match number % 4:
                case 0:
                    return "rest", (await client.get(url + REPORT)).status_code
                case 1:
                    usage = event("usage.recorded", "2026-10-05T00:00:00Z", **USAGE)
                    kind = {"Content-Type": "application/cloudevents+json"}
                    sent = await client.post(url + "/api/events", content=usage, headers=kind)
                    return "events", sent.status_code
                case _:
                    answer = await client.post(url + "/graphql", json={"query": QUERY})
                    assert "errors" not in answer.json()
                    return "graphql", answer.status_code

        answers: Counter[tuple[str, int]] = Counter()
        for _ in range(6):
            answers.update(await asyncio.gather(*map(ask, range(40))))
        return answers


USAGE = {"workspace": "vision", "username": "ada", "channel": "ui"}


async def test_without_the_setting_the_error_says_which(folder: Path, postgres: str) -> None:
    with pgbouncer(folder, postgres, "owner", 2) as store:
        one, other = (Database(store.pooled, pool_size=1) for _ in range(2))
        async with one.owner_transaction():
            pass
        async with (
            other.owner_transaction()
        ):  # It has the connection that `one` prepared its statement on.
            with pytest.raises(StoreUnavailable, match="DATABASE_PREPARED_STATEMENTS=false"):
                async with one.owner_transaction():
                    pass
        await one.close()
        await other.close()


async def test_backup_and_restore_ask_for_the_server_itself(folder: Path, postgres: str) -> None:
    file = folder / "reports.dump"
    with pgbouncer(folder, postgres, "owner", 2) as store:
        chargeback(store.direct, "organizations", "create", "research")
        refused = ended(store.pooled, "backup", file)
        chargeback(store.direct, "backup", file)
        chargeback(store.direct, "restore", file, "--replace")
        found = chargeback(store.pooled, "organizations", "list")

    assert refused.returncode == 1
    assert b"unsupported startup parameter" in refused.stderr
    assert "research" in found
