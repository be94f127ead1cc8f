"""Faults of PostgreSQL, the disk, the ingest worker and the service itself.

After each fault the service recovers without help, and the months match their events.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import asyncpg
import httpx
import orjson
import pytest

from app.db.engine import Database
from app.demo.generate import OrganizationShape, generate_events
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.months import Month
from app.services.month_verification import verify_month
from app.services.organizations import find_organization
from tests.conftest import event
from tests.process.faults import (
    Poller,
    PollResult,
    postmaster_pid,
    process_and_children,
    wait_for_new_postmaster,
)
from tests.server_process import ServerProcess, run_command

PAUSE_SECONDS = 3
MAX_RECOVERY_SECONDS = 5
MAX_REJECTION_SECONDS = 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = metafunc.config.getoption("rounds")
    if rounds > 1 and {"poller", "small_disk"} & {*metafunc.fixturenames}:
        metafunc.fixturenames.append("round")
        metafunc.parametrize("round", range(rounds))


class GraphQLResult(NamedTuple):
    """The duration, the status and the `extensions` of a GraphQL response."""

    seconds: float
    status: int
    extensions: object


class Install(NamedTuple):
    """A running service with three months of events, and an admin's key."""

    server: ServerProcess
    key: str
    month: Month

    @property
    def report_url(self) -> str:
        return f"{self.server.url}/api/admin/chargeback/report?reportMonth={self.month}"

    def query_graphql(self) -> GraphQLResult:
        query = {"query": "{ viewer { username } }"}
        started_at = time.monotonic()
        response = httpx.post(
            f"{self.server.url}/graphql",
            json=query,
            headers={"Authorization": self.key},
            timeout=30,
        )
        extensions = response.json().get("extensions")
        return GraphQLResult(time.monotonic() - started_at, response.status_code, extensions)

    @property
    def socket_folder(self) -> str:
        return os.fsdecode((self.server.data_dir / "postgres/owner").read_bytes())

    async def assert_verified(self) -> None:
        """Verify the month like `chargeback months verify`, but without starting a process."""
        database = Database(f"postgresql://postgres@/chargeback?host={self.socket_folder}")
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        assert (await verify_month(database, organization_id, self.month)).differences == []
        await database.close()


def start_install(data_dir: Path, settings: Mapping[str, str] = {}) -> Install:
    settings = {"ADMIN_USER_LIST": "root", **settings}
    server = ServerProcess(data_dir, arguments=(), settings=settings)
    now = datetime.now(UTC)
    events = b"".join(generate_events(OrganizationShape(4, 20, 3), seed=7, until=now))
    imported = run_command(
        "import", "-", data_dir=data_dir, standard_input=events, settings=settings
    )
    assert imported.returncode == 0, imported.stderr
    created = run_command(
        *("keys", "create", "--user", "root", "--scope", "admin", "--scope", "events:write"),
        data_dir=data_dir,
    )
    key = created.stdout.removeprefix("API key: ").strip()
    return Install(server, key, Month.containing(now).plus(-1))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One service for all tests, so that lasting damage of one fault fails the next test."""
    installed = start_install(tmp_path_factory.mktemp("faults"))
    with installed.server:
        yield installed
        month = str(installed.month)
        verified = run_command("months", "verify", month, data_dir=installed.server.data_dir)
        assert verified.stdout == f"{month} matches its events\n", verified.stderr


@pytest.fixture
def data_dir(installed: Install) -> Path:
    return installed.server.data_dir


@pytest.fixture
async def poller(installed: Install) -> AsyncIterator[Poller]:
    with Poller(installed.report_url, installed.key) as poller:
        await asyncio.to_thread(poller.wait_until_served, time.monotonic())
        yield poller
    await installed.assert_verified()


UNAVAILABLE = "The store cannot be reached at the moment; try again in a few seconds."


def assert_unavailable(results: list[PollResult]) -> None:
    """Assert that each request got a complete 503 in time."""
    assert results
    for result in results:
        assert result.seconds < MAX_REJECTION_SECONDS, result
        assert result.status == 503, result
        body = orjson.loads(result.body)
        assert body == {
            "msg": UNAVAILABLE,
            "code": 503,
            "error": "STORE_UNAVAILABLE",
        }
        assert result.retry_after == "2"


def test_requests_get_503_in_time_while_postgres_is_paused_and_200_afterwards(
    poller: Poller, installed: Install, data_dir: Path
) -> None:
    """More requests arrive in the first second than there are connections; the rest queue."""
    paused = process_and_children(postmaster_pid(data_dir))
    paused_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    graphql_results = [installed.query_graphql() for _ in range(5)]
    time.sleep(max(0, paused_at + PAUSE_SECONDS - time.monotonic()))
    resumed_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGCONT)

    assert poller.wait_until_served(resumed_at) < MAX_RECOVERY_SECONDS
    # Requests of the last second may have reached the resumed server.
    assert_unavailable(poller.sent_between(paused_at + 0.1, resumed_at - 1))
    # Requests in progress when the pause began fail, too: with 503 before the response has
    # started, else by a broken connection.
    in_progress = [
        result
        for result in poller.sent_between(0, paused_at + 0.1)
        if result.completed_at > paused_at + 0.1
    ]
    delays = [result.completed_at - paused_at for result in in_progress]
    assert max(delays, default=0) < MAX_REJECTION_SECONDS
    assert {result.status for result in in_progress} <= {0, 200, 503}
    for graphql_result in graphql_results:
        assert graphql_result.seconds < MAX_REJECTION_SECONDS
        assert graphql_result.status == 503
        assert graphql_result.extensions == {"msg": UNAVAILABLE, "code": 503}


@pytest.mark.parametrize(
    "stop_signal", [signal.SIGINT, signal.SIGKILL], ids=["fast shutdown", "kill"]
)
def test_a_stopped_postgres_is_restarted_and_reports_are_served_again(
    poller: Poller, data_dir: Path, stop_signal: signal.Signals
) -> None:
    old_pid = postmaster_pid(data_dir)
    stopped_at = time.monotonic()
    os.kill(old_pid, stop_signal)
    wait_for_new_postmaster(data_dir, old_pid)
    restarted_at = time.monotonic()

    assert poller.wait_until_served(restarted_at) < MAX_RECOVERY_SECONDS
    during = poller.sent_between(stopped_at, restarted_at)
    assert_unavailable([result for result in during if result.status not in (0, 200)])


async def open_all_free_connections(socket_folder: str) -> list[asyncpg.Connection]:
    connections: list[asyncpg.Connection] = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            connections.append(await asyncpg.connect(host=socket_folder, user="postgres"))
    return connections


async def test_at_postgres_connection_limit_requests_get_200_or_503_in_time(
    poller: Poller, installed: Install
) -> None:
    connections = await open_all_free_connections(installed.socket_folder)
    full_at = time.monotonic()
    await asyncio.sleep(1)
    freed_at = time.monotonic()
    for connection in connections:
        connection.terminate()

    assert await asyncio.to_thread(poller.wait_until_served, freed_at) < MAX_RECOVERY_SECONDS
    during = poller.sent_between(full_at, freed_at)
    assert {result.status for result in during} <= {200, 503}
    assert max(result.seconds for result in during) < MAX_REJECTION_SECONDS


async def test_a_cancelled_statement_is_rejected_and_the_next_one_succeeds(
    poller: Poller, installed: Install
) -> None:
    administrator = await asyncpg.connect(host=installed.socket_folder, user="postgres")
    started_at = time.monotonic()
    while time.monotonic() < started_at + 1:
        await administrator.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'chargeback' AND state = 'active'"
        )
    ended_at = time.monotonic()
    await administrator.close()

    assert await asyncio.to_thread(poller.wait_until_served, ended_at) < MAX_RECOVERY_SECONDS
    # Status 0 is a report that broke off: its status had been sent before its rows were read.
    during = poller.sent_between(started_at, ended_at)
    assert {result.status for result in during} <= {0, 200, 503}
    rejected = [result for result in during if result.status == 503]
    assert max((result.seconds for result in rejected), default=0) < MAX_REJECTION_SECONDS
    assert all(orjson.loads(result.body).keys() >= {"msg", "code"} for result in rejected)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_reports_are_served_while_the_ingest_worker_is_killed_or_paused(
    poller: Poller, installed: Install, fault: signal.Signals
) -> None:
    started_at = time.monotonic()
    worker = installed.server.ingest_worker
    worker.send_signal(fault)
    time.sleep(1)
    if fault is signal.SIGSTOP:
        worker.resume()
    while (response := send_batch(installed, fault.name, 1)).status_code != 200:
        assert response.status_code == 503
        assert time.monotonic() < started_at + 30
        time.sleep(0.1)

    poller.wait_until_served(time.monotonic())
    during = poller.sent_between(started_at, time.monotonic() - 1)
    assert {result.status for result in during} == {200}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder))
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root on Linux may mount a small disk")
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def fill(disk: Path) -> Path:
    """Write and return a file that takes all free space."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    return ballast


def send_batch(installed: Install, number: int | str, count: int = 2_000) -> httpx.Response:
    """Send a batch of new events; `number` makes their ids unique."""
    at = f"{installed.month}-01T00:00:00Z"
    lines = (
        event("workspace.upserted", at, id=f"{number}-{index}", name=f"w{number}-{index}")
        for index in range(count)
    )
    return httpx.post(
        f"{installed.server.url}/api/events",
        headers={"Authorization": installed.key, "Content-Type": "application/x-ndjson"},
        content=b"\n".join(lines),
        timeout=60,
    )


async def test_on_a_full_disk_batches_are_rejected_whole_until_there_is_space(
    small_disk: Path,
) -> None:
    # Without the reserve, so that the disk is really full.
    installed = start_install(small_disk / "data", {"FREE_SPACE_RESERVE_MB": "0"})
    with installed.server:
        assert send_batch(installed, 0).status_code == 200
        ballast = fill(small_disk)
        rejected = next(
            response
            for number in range(1, 50)
            if (response := send_batch(installed, number)).is_error
        )
        assert rejected.status_code == 503, rejected.text
        assert rejected.elapsed.total_seconds() < MAX_REJECTION_SECONDS
        assert rejected.json().keys() >= {"msg", "code"}
        ballast.unlink()

        deadline = time.monotonic() + 30
        while (response := send_batch(installed, 50)).status_code != 200:
            assert response.status_code == 503
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert response.json() == {"accepted": 2_000, "duplicates": 0}
        await installed.assert_verified()


def test_a_stop_under_load_completes_open_requests_and_rejects_new_ones(
    installed: Install,
) -> None:
    """Must stay the last test, because it stops the service that the others share."""
    with Poller(installed.report_url, installed.key) as poller:
        poller.wait_until_served(time.monotonic())
        time.sleep(0.5)
        stopped_at = time.monotonic()
        status = installed.server.stop(signal.SIGTERM)
        time.sleep(0.5)

    assert status == 0
    before = poller.sent_between(0, stopped_at - 0.1)
    assert {result.status for result in before} == {200}
    for result in before:
        orjson.loads(result.body)  # Responses in progress were completed, too.
    after = poller.sent_between(stopped_at + 0.3, time.monotonic())
    assert {result.status for result in after} == {0}
    with pytest.raises(httpx.ConnectError):
        httpx.get(installed.server.url)
