"""Every interface accepts gzip with several members and rejects other data after them."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from app.cli.commands import cli
from app.cli.imports import EventFiles, InvalidEventFile, import_tables
from app.connectors.files.mapping import default_mapping
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.gzip_stream import decompress_gzip
from app.services.organizations import find_organization
from app.settings import Settings
from tests.conftest import FixedClock, GraphQLClient, create_client, event

AT = Month.parse("2026-11").start
ONE = event("workspace.upserted", "2026-10-01T00:00:00Z", id="1", name="w1") + b"\n"
TWO = event("workspace.upserted", "2026-10-01T00:00:00Z", id="2", name="w2") + b"\n"
MEMBERS = gzip.compress(ONE) + gzip.compress(TWO)
EMPTY = gzip.compress(b"")
VALID = {
    "two members": MEMBERS,
    "an empty first member": EMPTY + MEMBERS,
    "an empty member between": gzip.compress(ONE) + EMPTY + gzip.compress(TWO),
    "a member that ends inside a line": gzip.compress(ONE + TWO[:9]) + gzip.compress(TWO[9:]),
    "padding": MEMBERS + bytes(512),
}
INVALID = {
    "garbage": MEMBERS + b"garbage",
    "garbage after padding": MEMBERS + bytes(16) + b"garbage",
    "a truncated second member": MEMBERS[:-9],
    "a second header alone": MEMBERS + EMPTY[:10],
    "half of a second header": MEMBERS + EMPTY[:1],
    "a wrong checksum in the second member": MEMBERS[:-8] + bytes(8),
}
WORKSPACES = '{ chargebackReport(month: "2026-10") { workspaces { name } } }'
HEADERS = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}


async def in_chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def list_workspaces(graphql: GraphQLClient) -> list[str]:
    report = (await graphql(WORKSPACES))["chargebackReport"]
    return [each["name"] for each in report["workspaces"]]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("body", VALID.values(), ids=VALID)
async def test_a_body_may_have_several_members_and_any_chunks(
    client: httpx.AsyncClient, admin_key: str, graphql: GraphQLClient, body: bytes, size: int
) -> None:
    answer = await client.post(
        "/api/events",
        content=in_chunks(body, size),
        headers=HEADERS | {"Authorization": admin_key},
    )

    assert answer.json() == {"accepted": 2, "duplicates": 0}
    assert await list_workspaces(graphql) == ["w1", "w2"]


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("body", [*INVALID.values(), b""], ids=[*INVALID, "nothing"])
async def test_a_body_that_is_not_wholly_gzip_is_rejected(
    client: httpx.AsyncClient, admin_key: str, graphql: GraphQLClient, body: bytes, size: int
) -> None:
    answer = await client.post(
        "/api/events",
        content=in_chunks(body, size),
        headers=HEADERS | {"Authorization": admin_key},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert answer.json()["msg"].startswith("The body is not valid gzip: ")
    assert await list_workspaces(graphql) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        # 1,000 bytes are allowed.
        (gzip.compress(b"\n" * 400) + gzip.compress(b"\n" * 600), 200),
        (gzip.compress(b"\n" * 400) + gzip.compress(b"\n" * 601), 413),
        (gzip.compress(b"\n" * 1_000) + gzip.compress(b"\n"), 413),
        # As sent: 20 bytes for each empty member, and one for each of the padding.
        (EMPTY * 50, 200),
        (EMPTY * 51, 413),
        (EMPTY + bytes(981), 413),
    ],
    ids=[
        "1,000 bytes in two members",
        "1,001 bytes in two members",
        "1,000 bytes and one in the next member",
        "50 empty members",
        "51 empty members",
        "an empty member and padding",
    ],
)
@pytest.mark.parametrize("size", [33, 100_000])
async def test_the_size_limit_covers_all_members(
    database: Database, clock: FixedClock, admin_key: str, body: bytes, status: int, size: int
) -> None:
    settings = Settings.load(admin_user_list="root", feed_max_body_bytes=1_000)
    async with create_client(database, settings, clock) as client:
        answer = await client.post(
            "/api/events",
            content=in_chunks(body, size),
            headers=HEADERS | {"Authorization": admin_key},
        )

    assert answer.status_code == status


@pytest.mark.parametrize("body", VALID.values(), ids=VALID)
def test_a_file_of_events_may_have_several_members(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "events.gz").write_bytes(body)

    assert [*EventFiles([str(tmp_path / "events.gz")]).chunks()] == [[ONE, TWO]]


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_a_file_that_is_not_wholly_gzip_is_rejected(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "events.gz").write_bytes(body)

    with pytest.raises(InvalidEventFile, match=r"events\.gz: cannot be read: not valid gzip: "):
        list(EventFiles([str(tmp_path / "events.gz")]).chunks())
    with pytest.raises(OSError, match="not valid gzip"):
        decompress_gzip(body)


async def test_tables_and_reports_take_and_reject_the_same(
    database: Database, tmp_path: Path
) -> None:
    people, report = tmp_path / "people.csv.gz", tmp_path / "report.json.gz"
    people.write_bytes(gzip.compress(b"username\nann\n") + gzip.compress(b"bob\n") + b"garbage")
    report.write_bytes(gzip.compress(b"{}") + b"garbage")
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    mapping = default_mapping("/test", "directory", AT, complete=False)

    with pytest.raises(InvalidArgument, match=r"people\.csv\.gz: cannot be read: not valid gzip"):
        await import_tables(database, found.organization_id, [str(people)], mapping, dry_run=False)
    refused = CliRunner().invoke(cli, ["import-report", str(report)])
    assert "report.json.gz: cannot be read: not valid gzip" in str(refused.exception)
