"""Keys, proxies and the audit log around a real service."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.postgres.programs import find_bin_folder
from tests.server_process import (
    KeyedServer,
    ServerProcess,
    create_root_key,
    run_command,
    start_keyed_server,
)

REPORT = "/api/admin/chargeback/report"
UNKNOWN = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    """A service behind a proxy on this host."""
    with start_keyed_server(
        tmp_path_factory.mktemp("access"), TRUSTED_PROXIES="127.0.0.1"
    ) as service:
        yield service


def lines(service: KeyedServer, **options: str) -> list[dict[str, Any]]:
    """The audit log as the command line exports it."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    exported = run_command("audit", *words, data_dir=service.data_dir)
    assert exported.returncode == 0, exported.stderr
    return [json.loads(line) for line in exported.stdout.splitlines()]


def test_a_proxy_that_is_trusted_says_where_a_request_came_from(service: KeyedServer) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    signed_in = httpx.post(f"{service.url}/signin", data={"key": service.key}, headers=forwarded)
    assert "; Secure" in signed_in.headers["set-cookie"]
    for _ in range(21):
        last = httpx.get(f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN, **forwarded})
    beside = httpx.get(f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN})

    assert (last.status_code, beside.status_code) == (429, 401)
    assert [line["address"] for line in lines(service, action="SIGNED_IN")] == ["198.51.100.7"]


def test_nobody_else_says_where_a_request_came_from(tmp_path: Path) -> None:
    with start_keyed_server(tmp_path) as service:
        for number in range(21):
            forwarded = {"X-Forwarded-For": f"203.0.113.{number}", "X-Forwarded-Proto": "https"}
            last = httpx.get(
                f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN, **forwarded}
            )
        signed_in = httpx.post(
            f"{service.url}/signin", data={"key": service.key}, headers=forwarded
        )

        assert last.status_code == 429
        assert "; Secure" not in signed_in.headers["set-cookie"]


def test_a_key_revoked_in_one_process_is_refused_by_the_other_at_once(
    service: KeyedServer,
) -> None:
    settings = {"ADMIN_USER_LIST": "root"}
    with (
        ServerProcess(service.data_dir, arguments=(), settings=settings) as other,
        httpx.Client() as session,
    ):
        [key] = create_root_key(service.data_dir)
        headers = {"Authorization": key}
        session.post(f"{other.url}/signin", data={"key": key})
        page = {"X-Chargeback-Client": "graphiql"}
        asked = {"query": "{ viewer { username } }"}

        def answers() -> list[int]:
            return [
                httpx.get(f"{service.url}{REPORT}", headers=headers).status_code,
                httpx.get(f"{other.url}{REPORT}", headers=headers).status_code,
                session.post(f"{other.url}/graphql", json=asked, headers=page).status_code,
            ]

        before = answers()
        httpx.post(
            f"{service.url}/graphql",
            json={"query": f'mutation {{ revokeApiKey(id: "{key.split("_")[1]}") {{ id }} }}'},
            headers={"Authorization": service.key},
        )
        assert (before, answers()) == ([200, 200, 200], [401, 401, 401])


def test_no_key_is_found_in_the_store_or_in_any_log(service: KeyedServer) -> None:
    """Used in every way there is, right and wrong, and put where none belongs."""
    key, long_form = create_root_key(service.data_dir, "--long-form", service.url)
    reader = run_command(
        "keys", "create", "--user", "root", "--scope", "report:read", data_dir=service.data_dir
    ).stdout.split()[-1]
    mistyped = key[:-1] + ("a" if key[-1] != "a" else "b")
    with httpx.Client(base_url=service.url) as client:
        for sent in (key, f"Bearer {key}", long_form, mistyped, key[:40]):
            headers = {"Authorization": sent}
            client.get(REPORT, headers=headers)
            client.get(f"{REPORT}?reportMonth=2026-99", headers=headers)
            client.post("/graphql", json={"query": "{"}, headers=headers)
            client.post("/api/events", content=b"{", headers=headers)
        client.get(f"/scim/v2/Users/{key}", headers={"Authorization": reader})  # It may not.
        reason = f'mutation {{ reopenMonth(month: "2020-01", reason: "{key}") {{ month }} }}'
        for query in (f"query {key} {{ viewer {{ username }} }}", reason, f"{{ {key} }}"):
            client.post("/graphql", json={"query": query}, headers={"Authorization": key})
        for posted in (key, mistyped):
            client.post("/signin", data={"key": posted})
            client.post("/signin", content=posted)
        token = client.cookies["chargeback_session"]
        client.post("/signout")
    secrets = [key.split("_")[2][:20], service.key.split("_")[2][:32], token]

    owner = (service.data_dir / "postgres" / "owner").read_text()
    dump = subprocess.run(
        [find_bin_folder() / "pg_dump", "-h", owner, "-U", "postgres", "chargeback"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    logs = {
        str(file): file.read_text(errors="replace") for file in service.data_dir.rglob("*.log")
    }
    kept = {"pg_dump": dump, **logs, "stderr": "\n".join(service.server.lines)}

    assert key.split("_")[1] in dump
    assert len(logs) >= 2
    found = [
        (where, secret) for where, text in kept.items() for secret in secrets if secret in text
    ]
    assert found == []


def test_a_clean_stop_leaves_no_read_out_of_the_log(tmp_path: Path) -> None:
    with start_keyed_server(tmp_path) as service:
        for _ in range(30):
            answer = httpx.get(
                f"{service.url}{REPORT}?reportMonth=2026-10",
                headers={"Authorization": service.key},
            )
            assert answer.status_code == 200
        assert service.server.stop(signal.SIGTERM) == 0

    kept = lines(service, action="REPORT_DOWNLOADED")
    assert len(kept) == 30
    [start] = lines(service, action="SERVICE_STARTED")
    assert start["detail"]["session_lifetime_hours"] == 12


def test_the_log_is_exported_as_csv_and_that_is_noted(service: KeyedServer) -> None:
    exported = run_command(
        "audit", "--format", "csv", "--since", "2026-11", data_dir=service.data_dir
    )

    head, *rows = exported.stdout.splitlines()
    assert head == ("id,happenedAt,action,target,outcome,username,keyId,address,interface,detail")
    assert len(rows) > 3
    assert any(",AUDIT_EXPORTED,,OK,operator,,,COMMAND_LINE," in row for row in rows)
