"""Fuzzing: schemathesis generates requests from the schemas, and hypothesis mutates bytes."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hardening.corpus import REPORT, corpus
from tests.hardening.wire import KEY, Attack, exchange, request
from tests.server_process import ServerProcess

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def run_schemathesis(service: ServerProcess, path: str, examples: int, *words: str) -> None:
    """Run schemathesis, and fail with its findings."""
    completed = subprocess.run(
        (
            *(SCHEMATHESIS, "run", f"{service.url}{path}", "--header"),
            *(f"Authorization: {service.key}", "--max-examples", str(examples), "--no-color"),
            *("--generation-database", "none", *words),
        ),
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.hardening.schemathesis_hooks"},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        pytest.fail(completed.stdout + completed.stderr, pytrace=False)


EXCLUDED_CHECKS = (
    # The service rejects a month in the future and an event before 2000, but a schema cannot
    # express limits that depend on the clock.
    "positive_data_acceptance",
    # Many invalid keys lead to 429, which tests/access covers.
    "ignored_auth",
    # It reads GraphQL errors.
    "has_no_internal_error",
)


def test_rest_routes_conform_to_their_openapi_document(service: ServerProcess) -> None:
    words = ("--exclude-checks", ",".join(EXCLUDED_CHECKS), "--phases", "examples,fuzzing")
    run_schemathesis(service, "/openapi.json", 10, *words)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_rest_routes_conform_to_their_openapi_document_in_depth(
    service: ServerProcess,
) -> None:
    words = ("--exclude-checks", ",".join(EXCLUDED_CHECKS))
    run_schemathesis(service, "/openapi.json", 300, *words)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [10, pytest.param(300, marks=pytest.mark.long)])
def test_random_graphql_operations_cause_no_internal_error(
    service: ServerProcess, examples: int
) -> None:
    # Schemathesis would revoke its own key. The corpus covers these mutations.
    words = (
        "--checks",
        "has_no_internal_error",
        "--exclude-name-regex",
        "(revoke|rotate)ApiKey",
    )
    run_schemathesis(service, "/graphql", examples, *words)


HEAD_BYTES = st.binary(max_size=60)
NAMES = st.sampled_from(
    ["Host", "Content-Type", "Content-Encoding", "Accept", "Authorization", "Cookie", "Origin"]
) | st.text(st.characters(codec="latin-1"), max_size=20)
PATHS = st.sampled_from(
    [REPORT.encode(), b"/graphql", b"/api/events", b"/signin", b"/static/", b"/openapi.json"]
)
REQUESTS = st.builds(
    lambda method, path, rest, headers, body, version: request(
        method, path + rest, headers, body, version=version
    ),
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]) | st.text("A\0 \r\n", max_size=5),
    PATHS,
    HEAD_BYTES,
    st.lists(st.tuples(NAMES, HEAD_BYTES), max_size=5),
    st.binary(max_size=300),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""]),
)
ATTACKS = [each for each in corpus() if len(each.raw) < 5_000]


@st.composite
def mutated_attacks(draw: st.DrawFn) -> bytes:
    """Return a request of the corpus with some bytes changed, added or removed."""
    attack: Attack = draw(st.sampled_from(ATTACKS))
    raw = bytearray(attack.raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        removed = draw(st.integers(0, 3))
        raw[at : at + removed] = draw(st.binary(max_size=4))
    return bytes(raw)


def assert_harmless(service: ServerProcess, raw: bytes) -> None:
    """Send a request, and assert that it causes no 5xx, no traceback and no delay."""
    # The timeout is short because the server may wait for bytes that never arrive.
    response = exchange(service.url, service.key, raw, timeout=0.5)
    assert response.status < 500, response
    assert b"Traceback" not in response.body
    assert response.seconds < 2


EXAMPLES = [150, pytest.param(5_000, marks=pytest.mark.long)]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("examples", EXAMPLES)
def test_malformed_requests_cause_no_error_and_change_nothing(
    service: ServerProcess, examples: int
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.one_of(REQUESTS, mutated_attacks(), st.binary(max_size=500)))
    def attack(raw: bytes) -> None:
        assert_harmless(service, raw)

    before = fetch_state(service)
    attack()
    assert fetch_state(service) == before


def fetch_state(service: ServerProcess) -> object:
    """Return the months, the keys and some figures of the service."""
    response = httpx.post(
        f"{service.url}/graphql",
        json={
            "query": "{ months { month status } apiKeys { id } chargebackReport(month: "
            '"2026-10") { createdAt totalSizeBytes } }'
        },
        headers={"Authorization": service.key},
    )
    assert "errors" not in response.json()
    return response.json()["data"]


def test_the_key_placeholder_is_replaced(service: ServerProcess) -> None:
    raw = request("GET", f"{REPORT}?reportMonth=2026-10")
    assert KEY in raw
    assert exchange(service.url, service.key, raw).status == 200
