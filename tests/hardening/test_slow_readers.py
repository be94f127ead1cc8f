"""Clients that request large responses and do not read them, on a running service."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.conftest import event
from tests.hardening.corpus import REPORT
from tests.server_process import KeyedServer, create_root_key, run_command, start_keyed_server

USERS = 6_000
LONG_NAME = "e" * 500
"""Makes a document of some 7 MB, which does not fit in the socket buffers."""
MAX_ABORT_SECONDS = 45
"""A reader has 20 s, plus a second per 50 kB that it has not read yet."""
ADMISSION_TIMEOUT_SECONDS = 4
CONNECTIONS = 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    """A service with few connections, and an organization with a large report."""
    folder = tmp_path_factory.mktemp("readers")
    with start_keyed_server(folder, DATABASE_POOL_SIZE=str(CONNECTIONS)) as service:
        run_command("organizations", "create", "large", data_dir=folder)
        lines = b"\n".join(
            event("user.upserted", "2026-10-05T00:00:00Z", id=str(number), source="/readers",
                  username=f"{number}{LONG_NAME}", email=f"{number}@{LONG_NAME}")
            for number in range(USERS)
        )  # fmt: skip
        (folder / "users.ndjson").write_bytes(lines)
        words = ("--organization", "large", str(folder / "users.ndjson"))
        assert f"accepted {USERS}" in run_command("import", *words, data_dir=folder).stdout
        yield service


@pytest.fixture(scope="module")
def large_key(service: KeyedServer) -> str:
    return create_root_key(service.data_dir, "--organization", "large")[0]


def request_without_reading(service: KeyedServer, key: str) -> socket.socket:
    """Open a connection, request the report, and read nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    connection.settimeout(60)
    url = httpx.URL(service.url)
    connection.connect((url.host, url.port))
    head = f"GET {REPORT}?reportMonth=2026-10 HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def download(service: KeyedServer, key: str) -> httpx.Response:
    return httpx.get(
        f"{service.url}{REPORT}?reportMonth=2026-10", headers={"Authorization": key}, timeout=20
    )


def count_connections_in_use(service: KeyedServer) -> int:
    metrics = httpx.get(f"{service.url}/metrics", headers={"Authorization": service.key}).text
    match = re.search(r"^chargeback_db_pool_connections_in_use (\d+)", metrics, re.MULTILINE)
    assert match is not None
    return int(match[1])


def test_clients_that_do_not_read_cannot_block_others(
    service: KeyedServer, large_key: str
) -> None:
    assert download(service, large_key).status_code == 200
    with ExitStack() as readers:
        for _ in range(2 * CONNECTIONS):
            readers.enter_context(request_without_reading(service, large_key))
        time.sleep(0.5)
        started_at = time.monotonic()
        viewer = httpx.post(
            f"{service.url}/graphql",
            json={"query": "{ viewer { username } }"},
            headers={"Authorization": large_key},
        )
        other_tenant = download(service, service.key)
        assert (viewer.status_code, other_tenant.status_code) == (200, 200)
        assert time.monotonic() - started_at < ADMISSION_TIMEOUT_SECONDS / 2

        rejected = download(service, large_key)
        seconds = time.monotonic() - started_at
        assert ADMISSION_TIMEOUT_SECONDS - 1 < seconds < 2 * ADMISSION_TIMEOUT_SECONDS
        assert (rejected.status_code, rejected.json()["error"]) == (503, "SERVICE_BUSY")
        assert rejected.headers["Retry-After"] == "2"

    assert download(service, large_key).status_code == 200


@pytest.mark.long
@pytest.mark.timeout(120)
def test_an_unread_response_is_aborted(service: KeyedServer, large_key: str) -> None:
    started_at = time.monotonic()
    with request_without_reading(service, large_key):
        time.sleep(1)
        assert count_connections_in_use(service) > 0
        while count_connections_in_use(service):
            assert time.monotonic() - started_at < MAX_ABORT_SECONDS
            time.sleep(0.5)
        assert time.monotonic() - started_at > 15
