"""The ingest worker of a running service: restarts, shutdown, errors and metrics."""

import asyncio
import os
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import httpx
import orjson
import psutil
import pytest

from app import __version__
from app.domain import errors
from app.domain.errors import ChargebackError, EventProblem, InvalidBatch
from tests.conftest import event
from tests.server_process import KeyedServer, ServerProcess, create_root_key, start_keyed_server

OUTDATED = (
    f"the installed files are not those of version {__version__}, which is running: restart the "
    "service; until then it accepts no events"
)
NDJSON_HEADERS = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    """One service for all tests that do not stop it; each test sends its own events."""
    with start_keyed_server(tmp_path_factory.mktemp("worker")) as install:
        yield install


def post(install: KeyedServer, *ids: str, seconds: float = 20) -> httpx.Response:
    used = {"username": "ann", "channel": "sdk"}
    lines = [event("usage.recorded", "2026-10-05T00:00:00Z", id=id, **used) for id in ids]
    return httpx.post(
        f"{install.url}/api/events",
        content=b"\n".join(lines),
        headers={"Authorization": install.key, **NDJSON_HEADERS},
        timeout=seconds,
    )


@contextmanager
def pending_batch(install: KeyedServer, *ids: str) -> Iterator[Future[httpx.Response]]:
    """Send a batch, and enter the block once the service has received it."""
    with ThreadPoolExecutor(1) as senders:
        response = senders.submit(post, install, *ids)
        time.sleep(1)
        assert not response.done()
        yield response


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_batches_get_503_after_the_worker_is_killed_until_it_is_restarted(
    install: KeyedServer,
) -> None:
    assert post(install, "a").json() == {"accepted": 1, "duplicates": 0}
    worker = install.server.ingest_worker
    worker.suspend()
    with pending_batch(install, "a", "b") as response:
        worker.kill()

    rejected = response.result()
    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "2")
    assert rejected.json()["error"] == "STORE_UNAVAILABLE"
    wait_for(lambda: post(install, "a", "b").status_code == 200, seconds=20)

    assert post(install, "a", "b", "c").json() == {"accepted": 1, "duplicates": 2}
    assert install.server.ingest_worker.pid != worker.pid
    assert any("the ingest worker exited with status -9" in line for line in install.server.lines)


def test_a_batch_in_flight_when_the_worker_is_killed_can_be_sent_again(
    install: KeyedServer,
) -> None:
    assert post(install, "d").status_code == 200
    worker = install.server.ingest_worker
    worker.suspend()
    with pytest.raises(httpx.ReadTimeout):
        post(install, "e", seconds=1)
    worker.kill()

    wait_for(lambda: post(install, "e", "f").status_code == 200, seconds=20)
    assert post(install, "e", "f").json() == {"accepted": 0, "duplicates": 2}


def test_the_worker_exits_with_the_service_on_stop_and_on_kill(tmp_path: Path) -> None:
    for method in ("kill", "stop"):
        with start_keyed_server(tmp_path) as install:
            assert post(install, method).status_code == 200
            worker = install.server.ingest_worker
            getattr(install.server, method)()
            psutil.wait_procs([worker], timeout=10)
            assert not worker.is_running()


def test_the_worker_imports_nothing_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('wrong module imported')\n")
    program = (str(Path(sys.executable).with_name("chargeback")),)
    with ServerProcess(tmp_path / "data", arguments=(), program=program, cwd=tmp_path) as server:
        worker = server.ingest_worker
        time.sleep(2)  # A worker that imported the wrong module exits sooner.
        assert worker.is_running()
        assert worker.status() != psutil.STATUS_ZOMBIE


def test_a_signal_to_all_processes_is_a_clean_stop(tmp_path: Path) -> None:
    """systemd and terminals signal every process of a service."""
    with start_keyed_server(tmp_path) as install:
        assert post(install, "a").status_code == 200
        os.kill(install.server.ingest_worker.pid, signal.SIGTERM)
        os.kill(install.server.ingest_worker.pid, signal.SIGINT)

        assert post(install, "b").json() == {"accepted": 1, "duplicates": 0}
        assert install.server.stop(signal.SIGTERM) == 0
        assert not any("exited with status" in line for line in install.server.lines)


def test_a_batch_being_stored_is_acknowledged_before_the_service_stops(
    tmp_path: Path,
) -> None:
    with start_keyed_server(tmp_path) as install:
        assert post(install, "a").status_code == 200
        with blocked_batch(install, "b") as response:
            install.server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
        assert response.result().json() == {"accepted": 1, "duplicates": 0}
        assert install.server.stop() == 0

    with start_keyed_server(tmp_path) as install:
        assert post(install, "a", "b").json() == {"accepted": 0, "duplicates": 2}


def test_large_and_small_batches_are_stored_concurrently(install: KeyedServer) -> None:
    """The large bodies do not fit in the socket buffers between the processes."""
    batches = {f"large-{n}": [f"large-{n}-{each}" for each in range(20_000)] for n in range(3)}
    batches |= {f"small-{n}": [f"small-{n}"] for n in range(60)}
    with ThreadPoolExecutor(16) as senders:
        futures = {
            name: senders.submit(post, install, *ids, seconds=60) for name, ids in batches.items()
        }

    results = {name: future.result().json() for name, future in futures.items()}
    assert results == {
        name: {"accepted": len(ids), "duplicates": 0} for name, ids in batches.items()
    }


def test_a_worker_of_another_version_is_logged_once_and_not_started_again(
    tmp_path: Path,
) -> None:
    """An upgrade replaces the installed files while the service runs."""
    files = tmp_path / "files"
    for package in ("app", "schema", "resolvers"):
        shutil.copytree(package, files / package)
    settings = {"ADMIN_USER_LIST": "root", "PYTHONPATH": str(files)}
    with ServerProcess(tmp_path / "data", arguments=(), settings=settings, cwd=files) as server:
        install = KeyedServer(server, create_root_key(tmp_path / "data")[0])
        assert post(install, "a").status_code == 200
        (files / "app/__init__.py").write_text('__version__ = "99.0.0"\n')
        server.ingest_worker.kill()
        wait_for(lambda: any("restart the service" in line for line in server.lines), seconds=20)
        time.sleep(3)  # Longer than the pause before another start.

        rejected = post(install, "a")
        assert (rejected.status_code, rejected.json()["error"]) == (503, "STORE_UNAVAILABLE")
        path = "/api/admin/chargeback/report?reportMonth=2026-10"
        report = httpx.get(install.url + path, headers={"Authorization": install.key})
        assert report.status_code == 200
        errors = [orjson.loads(line)["event"] for line in server.lines if '"error"' in line]
        assert errors == [
            "the ingest worker exited with status -9",
            OUTDATED,
        ]


def test_statements_and_rejections_of_the_worker_count_in_the_service_metrics(
    install: KeyedServer,
) -> None:
    assert post(install, "h").status_code == 200
    bad = httpx.post(
        f"{install.url}/api/events",
        content=b'{"type": "no.such"}\n{}',
        headers={"Authorization": install.key, **NDJSON_HEADERS},
    )

    assert (bad.status_code, bad.json()["error"]) == (400, "INVALID_BATCH")
    assert [problem["index"] for problem in bad.json()["problems"]] == [0, 1]
    metrics = httpx.get(f"{install.url}/metrics", headers={"Authorization": install.key}).text
    counters = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert float(counters['chargeback_db_queries_total{operation="post_events"}']) > 15
    assert float(counters['chargeback_ingest_events_total{outcome="rejected"}']) == 2


async def connect_as_superuser(install: KeyedServer) -> asyncpg.Connection:
    folder = os.fsdecode((install.data_dir / "postgres/owner").read_bytes())
    return await asyncpg.connect(host=folder, user="postgres", database="chargeback")


def execute_sql(install: KeyedServer, command: str) -> None:
    """Run a command as superuser of the service's PostgreSQL."""

    async def execute() -> None:
        connection = await connect_as_superuser(install)
        await connection.execute(command)
        await connection.close()

    asyncio.run(execute())


@contextmanager
def blocked_batch(install: KeyedServer, *ids: str) -> Iterator[Future[httpx.Response]]:
    """Send a batch that a lock keeps from being stored until the block ends."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        holder = runner.run(connect_as_superuser(install))
        runner.run(holder.execute("BEGIN; SELECT 1 FROM organization FOR UPDATE"))
        yield stack.enter_context(pending_batch(install, *ids))
        runner.run(holder.close())


def test_an_unexpected_error_is_logged_with_its_request_id_and_the_next_batch_is_stored(
    install: KeyedServer,
) -> None:
    execute_sql(install, "ALTER TABLE event RENAME TO elsewhere")
    failed = post(install, "g")
    execute_sql(install, "ALTER TABLE elsewhere RENAME TO event")

    assert (failed.status_code, failed.json()["error"]) == (500, "INTERNAL")
    assert post(install, "g").json() == {"accepted": 1, "duplicates": 0}
    message = "unexpected error while storing events"
    wait_for(lambda: any(message in line for line in install.server.lines), seconds=10)
    (line,) = [orjson.loads(line) for line in install.server.lines if message in line]
    assert "UndefinedTable" in line["exception"]
    assert line["request_id"] == failed.headers["X-Request-ID"]


def iter_subclasses(kind: type[ChargebackError]) -> Iterator[type[ChargebackError]]:
    for each in kind.__subclasses__():
        yield each
        yield from iter_subclasses(each)


@pytest.mark.parametrize(
    "kind", [*iter_subclasses(ChargebackError)], ids=lambda kind: kind.__name__
)
def test_every_error_survives_pickling(kind: type[ChargebackError]) -> None:
    error = kind.__new__(kind, "What was wrong.")
    ChargebackError.__init__(error, "What was wrong.", limit=3)
    received = pickle.loads(pickle.dumps(error))  # noqa: S301  our own

    assert (type(received), str(received)) == (kind, "What was wrong.")
    assert received.details == {"limit": 3}


def test_errors_without_arguments_and_with_problems_survive_pickling() -> None:
    queue_full = pickle.loads(pickle.dumps(errors.IngestQueueFull()))  # noqa: S301  our own
    invalid = InvalidBatch([EventProblem(2, "time", "must be earlier")])
    invalid.event_count = 7
    received = pickle.loads(pickle.dumps(invalid))  # noqa: S301  our own

    assert str(queue_full) == str(errors.IngestQueueFull())
    assert str(received) == str(invalid)
    assert (received.problems, received.event_count) == (invalid.problems, 7)
