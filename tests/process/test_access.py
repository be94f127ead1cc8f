"""Keys, trusted proxies and the audit log of a running service."""

import json
import os
import pwd
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
UNKNOWN_KEY = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    """A service that trusts a proxy on this host."""
    with start_keyed_server(
        tmp_path_factory.mktemp("access"), TRUSTED_PROXIES="127.0.0.1"
    ) as service:
        yield service


def export_audit_log(service: KeyedServer, **options: str) -> list[dict[str, Any]]:
    """Return the audit events that `chargeback audit` exports."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    exported = run_command("audit", *words, data_dir=service.data_dir)
    assert exported.returncode == 0, exported.stderr
    return [json.loads(line) for line in exported.stdout.splitlines()]


def test_a_trusted_proxy_determines_the_client_address(service: KeyedServer) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    signed_in = httpx.post(f"{service.url}/signin", data={"key": service.key}, headers=forwarded)
    assert "; Secure" in signed_in.headers["set-cookie"]
    for _ in range(21):
        throttled = httpx.get(
            f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN_KEY, **forwarded}
        )
    direct = httpx.get(f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN_KEY})

    assert (throttled.status_code, direct.status_code) == (429, 401)
    sign_ins = export_audit_log(service, action="SIGNED_IN")
    assert [event["address"] for event in sign_ins] == ["198.51.100.7"]


def test_forwarded_headers_of_untrusted_clients_are_ignored(tmp_path: Path) -> None:
    with start_keyed_server(tmp_path) as service:
        for number in range(21):
            forwarded = {"X-Forwarded-For": f"203.0.113.{number}", "X-Forwarded-Proto": "https"}
            last = httpx.get(
                f"{service.url}{REPORT}", headers={"Authorization": UNKNOWN_KEY, **forwarded}
            )
        signed_in = httpx.post(
            f"{service.url}/signin", data={"key": service.key}, headers=forwarded
        )

        assert last.status_code == 429
        assert "; Secure" not in signed_in.headers["set-cookie"]


def test_a_key_revoked_in_one_process_is_rejected_by_the_other_at_once(
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
        query = {"query": "{ viewer { username } }"}

        def request_statuses() -> list[int]:
            return [
                httpx.get(f"{service.url}{REPORT}", headers=headers).status_code,
                httpx.get(f"{other.url}{REPORT}", headers=headers).status_code,
                session.post(f"{other.url}/graphql", json=query, headers=page).status_code,
            ]

        before = request_statuses()
        httpx.post(
            f"{service.url}/graphql",
            json={"query": f'mutation {{ revokeApiKey(id: "{key.split("_")[1]}") {{ id }} }}'},
            headers={"Authorization": service.key},
        )
        assert (before, request_statuses()) == ([200, 200, 200], [401, 401, 401])


def test_neither_the_store_nor_a_log_contains_a_key(service: KeyedServer) -> None:
    """Keys are sent rightly and wrongly, and in places where no key belongs."""
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
        client.get(f"/scim/v2/Users/{key}", headers={"Authorization": reader})  # Gets 403.
        reason = f'mutation {{ reopenMonth(month: "2020-01", reason: "{key}") {{ month }} }}'
        for query in (f"query {key} {{ viewer {{ username }} }}", reason, f"{{ {key} }}"):
            client.post("/graphql", json={"query": query}, headers={"Authorization": key})
        for sent in (key, mistyped):
            client.post("/signin", data={"key": sent})
            client.post("/signin", content=sent)
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
    texts = {"pg_dump": dump, **logs, "stderr": "\n".join(service.server.lines)}

    assert key.split("_")[1] in dump
    assert len(logs) >= 2
    leaks = [
        (place, secret) for place, text in texts.items() for secret in secrets if secret in text
    ]
    assert leaks == []


def test_a_clean_stop_writes_every_read_to_the_audit_log(tmp_path: Path) -> None:
    with start_keyed_server(tmp_path) as service:
        for _ in range(30):
            response = httpx.get(
                f"{service.url}{REPORT}?reportMonth=2026-10",
                headers={"Authorization": service.key},
            )
            assert response.status_code == 200
        assert service.server.stop(signal.SIGTERM) == 0

    assert len(export_audit_log(service, action="REPORT_DOWNLOADED")) == 30
    [start] = export_audit_log(service, action="SERVICE_STARTED")
    assert start["detail"]["session_lifetime_hours"] == 12


def test_the_csv_export_of_the_audit_log_is_itself_audited(service: KeyedServer) -> None:
    exported = run_command(
        "audit", "--format", "csv", "--since", "2026-11", data_dir=service.data_dir
    )

    header, *rows = exported.stdout.splitlines()
    assert header == (
        "id,happenedAt,action,target,outcome,username,keyId,address,interface,detail"
    )
    assert len(rows) > 3
    operator = f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    assert any(f",AUDIT_EXPORTED,,OK,{operator},,,COMMAND_LINE," in row for row in rows)
