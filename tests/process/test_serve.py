"""The service as a process: start, restart, share, stop."""

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


def postgres_processes(data_dir: Path) -> list[str]:
    """Command lines of servers that run on this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if entry.name.isdigit() and str(data_dir) in line and "postgres" in line.split(" ")[0]:
            found.append(line)
    return found


def months(server: ServerProcess) -> list[str]:
    answer = httpx.post(
        f"{server.url}/graphql",
        headers={"Authorization": server.key},
        json={"query": "{ months { month } }"},
    )
    return [month["month"] for month in answer.json()["data"]["months"]]


def test_a_newcomer_gets_a_key_and_a_line_that_works_as_printed(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        line = next(line.strip() for line in server.lines if line.strip().startswith("curl "))
        printed = subprocess.run(shlex.split(line), capture_output=True, check=True, timeout=30)

        document = orjson.loads(printed.stdout)
        assert list(document) == ["reportDate", "workspaces", "users"]
        assert document["workspaces"] != []
        assert len(months(server)) == 25


def test_small_answers_on_one_connection_come_at_once(tmp_path: Path) -> None:
    """A head and a body that wait for one another's acknowledgement take 40 ms each time."""
    with (
        ServerProcess(tmp_path, arguments=()) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        seconds = []
        for _ in range(21):
            began_at = time.perf_counter()
            assert client.get("/healthz").status_code == 200
            seconds.append(time.perf_counter() - began_at)
    assert sorted(seconds)[10] < 0.03


def test_a_second_start_keeps_data_and_key_and_loads_nothing(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as first:
        before, key = months(first), first.key
        report = httpx.get(first.get_printed("REST: "), headers={"Authorization": key}).content
    assert first.process.returncode == 0

    with ServerProcess(tmp_path) as second:
        assert second.key == key
        assert months(second) == before
        assert not any("Loading" in line for line in second.lines)
        again = httpx.get(second.get_printed("REST: "), headers={"Authorization": key}).content
        assert again == report


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_the_status_is_0(
    tmp_path: Path, wish: signal.Signals
) -> None:
    server = ServerProcess(tmp_path, arguments=())
    assert postgres_processes(tmp_path) != []

    assert server.stop(wish) == 0

    assert postgres_processes(tmp_path) == []


def test_after_kill_9_nothing_runs_on_and_the_next_start_has_every_row(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    before = months(server)
    server.kill()
    deadline = time.monotonic() + 20
    while postgres_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert postgres_processes(tmp_path) == []

    with ServerProcess(tmp_path) as again:
        assert months(again) == before


def test_a_killed_postgres_is_started_again_and_the_service_recovers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        before = months(server)
        [pid] = (tmp_path / "postgres/cluster/postmaster.pid").read_text().split("\n")[:1]
        os.kill(int(pid), signal.SIGKILL)

        deadline = time.monotonic() + 30
        found: list[str] = []
        while found != before and time.monotonic() < deadline:
            try:
                found = months(server)
            except (httpx.HTTPError, KeyError):
                time.sleep(0.1)
        assert found == before


def test_a_taken_port_gets_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run_command("serve", "--port", str(port), data_dir=tmp_path)

    assert refused.returncode == 1
    [line] = refused.stderr.strip().split("\n")
    assert line == (
        f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another with --port."
    )


def test_a_file_in_place_of_the_data_folder_gets_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    refused = run_command("serve", "--port", "0", data_dir=tmp_path / "file")

    assert refused.returncode == 1
    assert refused.stderr.strip().split("\n")[-1].startswith("Error: ")
    assert "Traceback" not in refused.stderr


def test_commands_join_the_store_that_is_being_served(tmp_path: Path) -> None:
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

        answer = httpx.get(
            f"{server.url}/api/admin/chargeback/report?reportMonth=2026-09",
            headers={"Authorization": key},
        )
        assert answer.status_code == 403
        assert answer.json()["msg"].startswith("'ann' is not an admin of organization 'default'")
