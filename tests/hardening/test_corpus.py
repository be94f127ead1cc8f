"""The malicious corpus against a running service: no 5xx, traceback, delay or side effect."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.graphql.test_limits import build_bombs
from tests.hardening.corpus import corpus, graphql
from tests.hardening.wire import Answer, Attack, exchange
from tests.server_process import ServerProcess

SLOWEST_SECONDS = 2.0
GROWTH_BYTES = 20_000_000
ROUNDS = 5
TRACES = (b"Traceback", b'File "', b"site-packages", b"asyncpg", b"sqlalchemy", b"SELECT ")
EVERYTHING = """{
  months { month status rowsHash } monthHistory { month action }
  apiKeys { id label scopes expiresAt revokedAt }
  chargebackReports(from: "2026-06", to: "2026-10") {
    createdAt numberOfWorkspaces numberOfExperiments totalSizeBytes
    workspaces { id name members { userName totalSizeBytes } projects { id totalSizeBytes } }
    users { licensedUsers { username email uiUsageCount sdkUsageCount totalSizeBytes } }
  }
}"""


@pytest.fixture(scope="module")
def attacks() -> Sequence[Attack]:
    return list(corpus())


def query_everything(service: ServerProcess, query: str = EVERYTHING) -> object:
    answer = httpx.post(
        f"{service.url}/graphql",
        json={"query": query},
        headers={"Authorization": service.key},
        timeout=30,
    )
    assert "errors" not in answer.json(), answer.json()["errors"]
    return answer.json()["data"]


def wrong(answer: Answer) -> str:
    """Return what is wrong with a response; "" if nothing is."""
    if answer.status >= 500:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if any(trace in answer.body for trace in TRACES):
        return f"it tells of us: {answer.body[:200]!r}"
    return ""


def harm_of(service: ServerProcess, attack: Attack) -> str:
    """Return the harm that an attack did; "" if none.

    Where the machine has other things to do, time tells of them: then the service's own time on
    the processor counts, as long as the answer came at all soon.
    """
    before = processor_seconds(service)
    answer = exchange(service.url, service.key, attack.raw)
    worked = processor_seconds(service) - before
    if answer.seconds > SLOWEST_SECONDS and max(worked, answer.seconds / 5) > SLOWEST_SECONDS:
        return f"it took {answer.seconds:.1f} s, {worked:.1f} of them on the processor"
    return wrong(answer)


def attacked(service: ServerProcess, attacks: Sequence[Attack]) -> Iterator[tuple[str, str]]:
    """Yield the attacks that do harm, with a description."""
    return ((each.name, harm) for each in attacks if (harm := harm_of(service, each)))


def processor_seconds(service: ServerProcess) -> float:
    """Return the CPU seconds of the service's process."""
    ticks = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def test_the_corpus_does_no_harm(service: ServerProcess, attacks: Sequence[Attack]) -> None:
    assert len(attacks) > 1_000
    before = query_everything(service)
    assert list(attacked(service, attacks)) == []
    assert query_everything(service) == before


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", 0, 400), ("1.1", 1, 200), ("1.1", 2, 400), ("1.0", 0, 200), ("1.0", 2, 400)],
)
def test_http_1_1_requires_exactly_one_host(
    service: ServerProcess, version: str, hosts: int, status: int
) -> None:
    lines = [f"GET /healthz HTTP/{version}", *["Host: a"] * hosts, "Connection: close", "", ""]
    assert exchange(service.url, service.key, "\r\n".join(lines).encode()).status == status


@pytest.mark.long
@pytest.mark.timeout(900)
def test_repeating_the_corpus_leaks_no_memory(
    service: ServerProcess, attacks: Sequence[Attack]
) -> None:
    assert list(attacked(service, attacks)) == []
    first = service.resident_bytes()
    for number in range(ROUNDS):
        assert list(attacked(service, attacks)) == []
        grown = service.resident_bytes() - first
        print(f"{first:,} bytes, round {number + 1}: {grown:+,}")  # noqa: T201  with -s
    assert grown < GROWTH_BYTES


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(build_bombs(28)))
def test_a_fragment_bomb_is_rejected_within_a_quarter_of_a_second(
    service: ServerProcess, kind: str
) -> None:
    """Take the best of five runs, which excludes other load on the machine."""
    answers = [
        exchange(service.url, service.key, graphql(build_bombs(28)[kind])) for _ in range(5)
    ]
    assert all(b'"errors"' in answer.body for answer in answers)
    seconds = min(answer.seconds for answer in answers)
    print(f"{kind}: {1000 * seconds:.0f} ms")  # noqa: T201  the measurement, with -s
    assert seconds < 0.25
