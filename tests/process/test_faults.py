"""What happens to a running service when something happens to its store, or to itself.

Each fault ends the same way: the service serves again by itself, and the store verifies.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
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
from tests.process.faults import Answer, Asking
from tests.server_process import ServerProcess, run_command

AWAY_SECONDS = 3
SERVED_AGAIN_SECONDS = 5
REFUSED_SECONDS = 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = metafunc.config.getoption("rounds")
    if rounds > 1 and {"asking", "small_disk"} & {*metafunc.fixturenames}:
        metafunc.fixturenames.append("round")
        metafunc.parametrize("round", range(rounds))


class Refusal(NamedTuple):
    """An answer of GraphQL: how long it took, its status, and what it says beside its errors."""

    seconds: float
    status: int
    told: object


class Install(NamedTuple):
    """A running service with some months of events, and an admin's key."""

    server: ServerProcess
    key: str
    month: Month

    @property
    def report(self) -> str:
        return f"{self.server.url}/api/admin/chargeback/report?reportMonth={self.month}"

    def ask_graphql(self) -> Refusal:
        query = {"query": "{ viewer { username } }"}
        began = time.monotonic()
        answer = httpx.post(
            f"{self.server.url}/graphql",
            json=query,
            headers={"Authorization": self.key},
            timeout=30,
        )
        told = answer.json().get("extensions")
        return Refusal(time.monotonic() - began, answer.status_code, told)

    @property
    def socket_folder(self) -> str:
        return os.fsdecode((self.server.data_dir / "postgres/owner").read_bytes())

    async def assert_verified(self) -> None:
        """What `chargeback months verify` does, without the second that a command takes."""
        database = Database(f"postgresql://postgres@/chargeback?host={self.socket_folder}")
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        assert (await verify_month(database, found.organization_id, self.month)).differences == []
        await database.close()


def install(data_dir: Path) -> Install:
    server = ServerProcess(data_dir, arguments=(), settings={"ADMIN_USER_LIST": "root"})
    now = datetime.now(UTC)
    events = b"".join(generate_events(OrganizationShape(4, 20, 3), seed=7, until=now))
    assert run_command("import", "-", data_dir=data_dir, standard_input=events).returncode == 0
    created = run_command(
        "keys", "create", "--user", "root", "--scope", "admin", data_dir=data_dir
    )
    key = created.stdout.removeprefix("API key: ").strip()
    return Install(server, key, Month.containing(now).plus(-1))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One service for all faults: what one leaves behind, the next would meet."""
    found = install(tmp_path_factory.mktemp("faults"))
    with found.server:
        yield found
        month = str(found.month)
        verified = run_command("months", "verify", month, data_dir=found.server.data_dir)
        assert verified.stdout == f"{month} matches its events\n", verified.stderr


@pytest.fixture
def data_dir(installed: Install) -> Path:
    return installed.server.data_dir


@pytest.fixture
async def asking(installed: Install) -> AsyncIterator[Asking]:
    with Asking(installed.report, installed.key) as asking:
        await asyncio.to_thread(asking.until_served, time.monotonic())
        yield asking
    await installed.assert_verified()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres/cluster/postmaster.pid").read_text().split("\n")[0])


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def wait_for_another(data_dir: Path, than: int) -> None:
    """Until another PostgreSQL is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            lines = (data_dir / "postgres/cluster/postmaster.pid").read_text().split("\n")
            if len(lines) > 7 and lines[7].strip() == "ready" and lines[0] != str(than):
                return
        time.sleep(0.01)
    raise AssertionError("PostgreSQL did not come back")


AWAY = "The store cannot be reached at the moment; try again in a few seconds."


def assert_refused_well(answers: list[Answer]) -> None:
    """In time, with the words and the code that clients read, and when to come again."""
    assert answers
    for answer in answers:
        assert answer.seconds < REFUSED_SECONDS, answer
        assert answer.status == 503, answer
        body = orjson.loads(answer.body)
        assert body == {
            "msg": AWAY,
            "code": 503,
            "error": "STORE_UNAVAILABLE",
        }
        assert answer.retry_after == "2"


def test_a_paused_postgres_is_refused_in_time_and_served_from_again(
    asking: Asking, installed: Install, data_dir: Path
) -> None:
    """More is asked in the first second than there are connections: the others wait in line."""
    paused = family(postmaster(data_dir))
    paused_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    by_graphql = [installed.ask_graphql() for _ in range(5)]
    time.sleep(max(0, paused_at + AWAY_SECONDS - time.monotonic()))
    resumed_at = time.monotonic()
    for pid in paused:
        os.kill(pid, signal.SIGCONT)

    assert asking.until_served(resumed_at) < SERVED_AGAIN_SECONDS
    # What was asked in the last second may have met the resumed server.
    assert_refused_well(asking.between(paused_at + 0.1, resumed_at - 1))
    # What was on its way when the pause began learns of it too: a new answer is a refusal, one
    # that has begun breaks off.
    caught = [a for a in asking.between(0, paused_at + 0.1) if a.answered_at > paused_at + 0.1]
    late = [answer.answered_at - paused_at for answer in caught]
    assert max(late, default=0) < REFUSED_SECONDS
    assert {answer.status for answer in caught} <= {0, 200, 503}
    for refusal in by_graphql:
        assert refusal.seconds < REFUSED_SECONDS
        assert (refusal.status, refusal.told) == (503, {"msg": AWAY, "code": 503})


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGKILL], ids=["stopped fast", "killed"])
def test_a_postgres_that_ends_is_started_again_and_served_from(
    asking: Asking, data_dir: Path, wish: signal.Signals
) -> None:
    ended = postmaster(data_dir)
    ended_at = time.monotonic()
    os.kill(ended, wish)
    wait_for_another(data_dir, ended)
    returned_at = time.monotonic()

    assert asking.until_served(returned_at) < SERVED_AGAIN_SECONDS
    meanwhile = asking.between(ended_at, returned_at)
    assert_refused_well([answer for answer in meanwhile if answer.status not in (0, 200)])


async def all_free_connections(socket_folder: str) -> list[asyncpg.Connection]:
    taken: list[asyncpg.Connection] = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(host=socket_folder, user="postgres"))
    return taken


async def test_when_the_connection_limit_is_reached_the_service_does_with_what_it_has(
    asking: Asking, installed: Install
) -> None:
    taken = await all_free_connections(installed.socket_folder)
    full_at = time.monotonic()
    await asyncio.sleep(1)
    freed_at = time.monotonic()
    for connection in taken:
        connection.terminate()

    assert await asyncio.to_thread(asking.until_served, freed_at) < SERVED_AGAIN_SECONDS
    meanwhile = asking.between(full_at, freed_at)
    assert {answer.status for answer in meanwhile} <= {200, 503}
    assert max(answer.seconds for answer in meanwhile) < REFUSED_SECONDS


async def test_a_cancelled_statement_is_a_refusal_and_the_next_one_is_served(
    asking: Asking, installed: Install
) -> None:
    administrator = await asyncpg.connect(host=installed.socket_folder, user="postgres")
    began_at = time.monotonic()
    while time.monotonic() < began_at + 1:
        await administrator.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'chargeback' AND state = 'active'"
        )
    ended_at = time.monotonic()
    await administrator.close()

    assert await asyncio.to_thread(asking.until_served, ended_at) < SERVED_AGAIN_SECONDS
    # 0 is a report that broke off: its status had been sent before its rows were read.
    meanwhile = asking.between(began_at, ended_at)
    assert {answer.status for answer in meanwhile} <= {0, 200, 503}
    refused = [answer for answer in meanwhile if answer.status == 503]
    assert max((answer.seconds for answer in refused), default=0) < REFUSED_SECONDS
    assert all(orjson.loads(answer.body).keys() >= {"msg", "code"} for answer in refused)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_reports_are_served_whatever_becomes_of_the_feed_s_process(
    asking: Asking, installed: Install, fault: signal.Signals
) -> None:
    began_at = time.monotonic()
    struck = installed.server.ingest_worker
    struck.send_signal(fault)
    time.sleep(1)
    if fault is signal.SIGSTOP:
        struck.resume()
    while (answer := send(installed, fault.name, 1)).status_code != 200:
        assert answer.status_code == 503
        assert time.monotonic() < began_at + 30
        time.sleep(0.1)

    asking.until_served(time.monotonic())
    meanwhile = asking.between(began_at, time.monotonic() - 1)
    assert {answer.status for answer in meanwhile} == {200}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder))
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk takes the right to mount one: root, on Linux")
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def fill(disk: Path) -> Path:
    """A file that leaves nothing free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    return ballast


def send(installed: Install, number: int | str, count: int = 2_000) -> httpx.Response:
    """A batch of events that no other has."""
    moment = f"{installed.month}-01T00:00:00Z"
    lines = (
        event("workspace.upserted", moment, id=f"{number}-{index}", name=f"w{number}-{index}")
        for index in range(count)
    )
    return httpx.post(
        f"{installed.server.url}/api/events",
        headers={"Authorization": installed.key, "Content-Type": "application/x-ndjson"},
        content=b"\n".join(lines),
        timeout=60,
    )


async def test_a_full_disk_stores_nothing_in_part_and_ends_with_room(small_disk: Path) -> None:
    installed = install(small_disk / "data")
    with installed.server:
        assert send(installed, 0).status_code == 200
        ballast = fill(small_disk)
        refused = next(
            answer for number in range(1, 50) if (answer := send(installed, number)).is_error
        )
        assert refused.status_code == 503, refused.text
        assert refused.elapsed.total_seconds() < REFUSED_SECONDS
        assert refused.json().keys() >= {"msg", "code"}
        ballast.unlink()

        deadline = time.monotonic() + 30
        while (answer := send(installed, 50)).status_code != 200 and time.monotonic() < deadline:
            assert answer.status_code == 503
            await asyncio.sleep(0.1)
        assert answer.json() == {"accepted": 2_000, "duplicates": 0}
        await installed.assert_verified()


def test_a_stop_under_load_finishes_what_is_in_flight_and_refuses_what_is_new(
    installed: Install,
) -> None:
    """The last of the accidents: the service of the others ends here."""
    with Asking(installed.report, installed.key) as asking:
        asking.until_served(time.monotonic())
        time.sleep(0.5)
        stopped_at = time.monotonic()
        status = installed.server.stop(signal.SIGTERM)
        time.sleep(0.5)

    assert status == 0
    before = asking.between(0, stopped_at - 0.1)
    assert {answer.status for answer in before} == {200}
    for answer in before:
        orjson.loads(answer.body)  # Whole, also those that were on their way.
    after = asking.between(stopped_at + 0.3, time.monotonic())
    assert {answer.status for answer in after} == {0}
    with pytest.raises(httpx.ConnectError):
        httpx.get(installed.server.url)
