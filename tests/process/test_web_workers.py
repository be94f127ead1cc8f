"""`chargeback serve --workers N`: several processes answer the requests of one port."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import event
from tests.server_process import ServerProcess, run_command

WORKERS = 2
REQUESTS = 16
"""Each on a new connection. All of them reach one worker in 2 of 65,536 cases."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("store"),
        arguments=("--workers", str(WORKERS)),
        settings={"ADMIN_USER_LIST": "root"},
    ) as running:
        yield running


def list_workers(server: ServerProcess) -> list[psutil.Process]:
    """Return the processes that answer requests."""
    children = psutil.Process(server.process.pid).children()
    return [each for each in children if "web_workers.worker" in " ".join(each.cmdline())]


def create_key(server: ServerProcess) -> str:
    created = run_command(
        *("keys", "create", "--user", "root", "--scope", "admin", "--scope", "events:write"),
        data_dir=server.data_dir,
    )
    return next(word for word in created.stdout.split() if word.startswith("cbk_"))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fetch_statuses(server: ServerProcess, key: str) -> set[int]:
    """Return the statuses of many requests, each on a connection of its own."""
    query, headers = {"query": "{ months { month } }"}, {"Authorization": key}
    return {
        httpx.post(f"{server.url}/graphql", json=query, headers=headers, timeout=60).status_code
        for _ in range(REQUESTS)
    }


def test_a_revoked_key_is_rejected_by_every_worker_from_the_next_request_on(
    server: ServerProcess,
) -> None:
    key = create_key(server)
    assert fetch_statuses(server, key) == {200}

    run_command("keys", "revoke", key.split("_")[1], data_dir=server.data_dir)

    assert fetch_statuses(server, key) == {401}


def test_copies_of_an_event_are_stored_once_whichever_worker_gets_them(
    server: ServerProcess,
) -> None:
    key = create_key(server)
    line = event("workspace.upserted", "2026-08-02T00:00:00Z", id="w", name="lab")

    def send(_: int) -> dict[str, int]:
        response = httpx.post(
            f"{server.url}/api/events",
            content=line,
            headers={"Authorization": key, "Content-Type": "application/x-ndjson"},
            timeout=60,
        )
        counts: dict[str, int] = response.json()
        return counts

    with ThreadPoolExecutor(REQUESTS) as pool:
        results = list(pool.map(send, range(REQUESTS)))

    assert sum(each["accepted"] for each in results) == 1
    assert sum(each["duplicates"] for each in results) == REQUESTS - 1


def test_any_worker_returns_the_metrics_of_all(server: ServerProcess) -> None:
    key = create_key(server)
    fetch_statuses(server, key)

    for _ in range(REQUESTS):
        response = httpx.get(f"{server.url}/metrics", headers={"Authorization": key}, timeout=60)
        lines = response.text.splitlines()
        for worker in range(1, WORKERS + 1):
            label = f'worker="{worker}"'
            assert f"chargeback_db_up{{{label}}} 1.0" in lines
            assert any(
                line.startswith("chargeback_http_requests_total{") and label in line
                for line in lines
            )
        assert sum(line.startswith("# TYPE chargeback_db_up ") for line in lines) == 1


def test_a_killed_worker_is_replaced_and_its_port_answers_meanwhile(
    server: ServerProcess,
) -> None:
    key, before = create_key(server), list_workers(server)
    assert len(before) == WORKERS

    before[0].send_signal(signal.SIGKILL)

    assert fetch_statuses(server, key) == {200}
    wait_for(lambda: len(list_workers(server)) == WORKERS)
    assert before[0].pid not in {each.pid for each in list_workers(server)}


def test_a_signal_stops_all_processes(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, arguments=("--workers", str(WORKERS)))
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert len(processes) > 2 * WORKERS

    assert server.stop(signal.SIGTERM) == 0

    wait_for(lambda: not any(each.is_running() for each in processes), seconds=10)


def test_kill_9_of_the_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, arguments=("--workers", str(WORKERS)))
    processes = psutil.Process(server.process.pid).children(recursive=True)

    server.kill()

    wait_for(lambda: not any(each.is_running() for each in processes))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_rejected(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = run_command("serve", "--port", port, "--workers", workers, data_dir=tmp_path)

    assert ended.returncode != 0
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in ended.stderr


def test_a_port_of_other_workers_is_rejected(server: ServerProcess, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]

    ended = run_command("serve", "--port", port, "--workers", "2", data_dir=tmp_path)

    assert "Address already in use" in ended.stderr


def test_settings_that_prevent_a_start_end_in_one_line(tmp_path: Path) -> None:
    settings = {"SOURCES_FILE": str(tmp_path / "missing.toml")}

    ended = run_command(
        "serve", "--port", "0", "--workers", "2", data_dir=tmp_path, settings=settings
    )

    assert ended.returncode != 0
    assert "missing.toml" in ended.stderr
    assert "Traceback" not in ended.stderr
