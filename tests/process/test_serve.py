"""`chargeback serve` as a process: first start, restart, stop, kill, and a shared store."""

import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import orjson
import pytest

from tests.conftest import event
from tests.server_process import ServerProcess, run_command


def list_postgres_processes(data_dir: Path) -> list[str]:
    """Return the command lines of all PostgreSQL servers that run on a data folder."""
    command_lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if entry.name.isdigit() and str(data_dir) in line and "postgres" in line.split(" ")[0]:
            command_lines.append(line)
    return command_lines


def fetch_months(server: ServerProcess) -> list[str]:
    response = httpx.post(
        f"{server.url}/graphql",
        headers={"Authorization": server.key},
        json={"query": "{ months { month } }"},
    )
    return [month["month"] for month in response.json()["data"]["months"]]


def test_the_first_start_prints_a_key_and_a_curl_command_that_works(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        line = next(line.strip() for line in server.lines if line.strip().startswith("curl "))
        curl = subprocess.run(shlex.split(line), capture_output=True, check=True, timeout=30)

        document = orjson.loads(curl.stdout)
        assert list(document) == ["reportDate", "workspaces", "users"]
        assert document["workspaces"] != []
        assert len(fetch_months(server)) == 25


def test_small_responses_on_one_connection_are_not_delayed(tmp_path: Path) -> None:
    """With Nagle's algorithm, a body waits 40 ms for the acknowledgement of its headers."""
    with (
        ServerProcess(tmp_path, arguments=()) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert "The store is empty. Next, in another terminal:" in server.lines
        assert f"  chargeback keys create --user you --scope admin --data-dir {tmp_path}" in (
            server.lines
        )
        seconds = []
        for _ in range(21):
            started_at = time.perf_counter()
            assert client.get("/healthz").status_code == 200
            seconds.append(time.perf_counter() - started_at)
    assert sorted(seconds)[10] < 0.03


def test_a_second_start_keeps_data_and_key_and_loads_nothing(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as first:
        before, key = fetch_months(first), first.key
        report = httpx.get(first.get_printed("REST: "), headers={"Authorization": key}).content
    assert first.process.returncode == 0

    with ServerProcess(tmp_path) as second:
        assert second.key == key
        assert fetch_months(second) == before
        assert not any("Loading" in line for line in second.lines)
        again = httpx.get(second.get_printed("REST: "), headers={"Authorization": key}).content
        assert again == report


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_service_and_its_postgres_with_status_0(
    tmp_path: Path, stop_signal: signal.Signals
) -> None:
    server = ServerProcess(tmp_path, arguments=())
    assert list_postgres_processes(tmp_path) != []

    assert server.stop(stop_signal) == 0

    assert list_postgres_processes(tmp_path) == []


def test_kill_9_leaves_no_process_behind_and_loses_no_row(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    before = fetch_months(server)
    server.kill()
    deadline = time.monotonic() + 20
    while list_postgres_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list_postgres_processes(tmp_path) == []

    with ServerProcess(tmp_path) as restarted:
        assert fetch_months(restarted) == before


def test_a_killed_postgres_is_restarted_and_the_service_recovers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        before = fetch_months(server)
        [pid] = (tmp_path / "postgres/cluster/postmaster.pid").read_text().split("\n")[:1]
        os.kill(int(pid), signal.SIGKILL)

        deadline = time.monotonic() + 30
        after: list[str] = []
        while after != before and time.monotonic() < deadline:
            try:
                after = fetch_months(server)
            except (httpx.HTTPError, KeyError):
                time.sleep(0.1)
        assert after == before


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serve = run_command("serve", "--port", str(port), data_dir=tmp_path)

    assert serve.returncode == 1
    [line] = serve.stderr.strip().split("\n")
    assert line == (
        f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another with --port."
    )


def test_a_file_in_place_of_the_data_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    serve = run_command("serve", "--port", "0", data_dir=tmp_path / "file")

    assert serve.returncode == 1
    assert serve.stderr.strip().split("\n")[-1].startswith("Error: ")
    assert "Traceback" not in serve.stderr


def test_commands_use_the_store_of_the_running_service(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, arguments=()) as server:
        events = tmp_path / "events.ndjson"
        events.write_bytes(
            event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="a@x.example")
        )
        imported = run_command("import", str(events), data_dir=tmp_path)
        assert imported.stdout == "accepted 1, duplicates 0\n", imported.stderr
        assert run_command("import", str(events), data_dir=tmp_path).stdout == (
            "accepted 0, duplicates 1\n"
        )
        created = run_command("keys", "create", "--user", "ann", data_dir=tmp_path)
        key = created.stdout.removeprefix("API key: ").strip()

        response = httpx.get(
            f"{server.url}/api/admin/chargeback/report?reportMonth=2026-09",
            headers={"Authorization": key},
        )
        assert response.status_code == 403
        assert response.json()["msg"].startswith("'ann' is not an admin of organization 'default'")
