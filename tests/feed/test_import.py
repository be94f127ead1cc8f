"""Storing batches of events: validated, all or nothing, each event once.

Bodies, files and responses are tested with the interface that handles them.
"""

import asyncio

import orjson
import pytest

from app.domain.event_decoding import decode_batch, decode_lines
from app.domain.events import EVENT_TYPES
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.group_commit import GroupCommitIngestor
from app.services.organizations import find_organization
from tests.conftest import NOW, event
from tests.feed.organizations import (
    AT,
    ONE_OF_EACH,
    PLACE,
    TABLES,
    Organization,
    altered,
    upserted,
    used,
)

# What is stored


async def test_every_type_is_accepted(organization: Organization) -> None:
    assert {orjson.loads(line)["type"] for line in ONE_OF_EACH} == {*EVENT_TYPES}
    assert len(EVENT_TYPES) == 12

    assert await organization.accept(*ONE_OF_EACH) == IngestResult(accepted=12, duplicates=0)

    rows = await organization.rows()
    assert len(rows["event"]) == 12
    # ann and gone; lab and gone; p and gone, in lab.
    assert (len(rows["platform_user"]), len(rows["workspace"]), len(rows["project"])) == (2, 2, 2)


async def test_an_empty_batch_stores_nothing(organization: Organization) -> None:
    assert await organization.accept() == IngestResult(0, 0)
    assert await organization.accept(b"", b"\n", b"  \r\n", b"\t") == IngestResult(0, 0)
    assert await organization.is_empty()


async def test_blank_lines_are_skipped_but_count_in_the_index(organization: Organization) -> None:
    lines = (b"\n", upserted() + b"\r\n", b"", b"  \t\n", b'{"type": "x"}', b"\n", b"nonsense")

    assert [problem.index for problem in await organization.reject(*lines)] == [4, 6]
    assert await organization.accept(*lines[:4], used()) == IngestResult(2, 0)


async def test_unknown_fields_are_ignored(organization: Organization) -> None:
    line = altered(
        upserted(team="research", nested={"a": [1, None]}),
        subject="ann", datacontenttype="application/json", traceparent="00-1", extra={"time": 5},
    )  # fmt: skip

    assert await organization.accept(line) == IngestResult(1, 0)
    [account] = (await organization.rows())["platform_user"]
    assert account[1:3] == ("ann", "ann@x.org")


@pytest.mark.parametrize(
    "line",
    [
        upserted(createdAt=None, role=None, serviceAccount=None, suspended=None),
        event("experiment.created", AT, experiment="x", **PLACE, sizeBytes=None),
        used(count=None),
    ],
    ids=["user", "size", "count"],
)
async def test_null_in_an_optional_field_equals_leaving_it_out(
    organization: Organization, other: Organization, line: bytes
) -> None:
    fields = orjson.loads(line)
    without_nulls = {key: value for key, value in fields["data"].items() if value is not None}

    assert await organization.accept(line) == IngestResult(1, 0)
    assert await other.accept(altered(line, data=without_nulls)) == IngestResult(1, 0)
    month_tables = [table for table in TABLES if table.endswith("_month")]
    rows, expected = await organization.rows(), await other.rows()
    assert {table: rows[table] for table in month_tables} == {
        table: expected[table] for table in month_tables
    }


LARGEST = "\U0001f600" * 512
"""512 characters of four bytes each: the longest name in characters and in bytes."""


@pytest.mark.parametrize(
    "line",
    [
        altered(upserted(), time="2000-01-01T00:00:00Z"),
        # A source's clock may be 5 minutes ahead of ours, which is at 12:00.
        altered(upserted(), time="2026-11-24T12:05:00Z"),
        altered(upserted(), time="2026-11-24T17:35:00.000+05:30"),
        altered(upserted(), time="2024-03-10t00:00:00.123456789z"),
        upserted(createdAt="1970-01-01T00:00:00Z"),
        upserted(createdAt="2026-11-24T12:05:00Z"),
        altered(upserted(), id="i" * 1024, source="s" * 1024),
        upserted(username=LARGEST, email=LARGEST),
        event("member.added", AT, workspace=LARGEST, username=LARGEST),
        event("experiment.created", AT, experiment=LARGEST, workspace=LARGEST,
              project=LARGEST, username=LARGEST, sizeBytes=2**50),
        event("experiment.created", AT, experiment="x", **PLACE, sizeBytes=0),
        used(count=0),
        used(count=10**9),
        upserted(username=" "),
        upserted(username="'; DROP TABLE event; --", email="%s $1 :name {}"),
        upserted(username="a\u200bb\u202e\x7f\x01", email="\ufffe"),
    ],
)  # fmt: skip
async def test_values_at_the_bounds_are_accepted(organization: Organization, line: bytes) -> None:
    assert await organization.accept(line) == IngestResult(1, 0)

    assert len((await organization.rows())["event"]) == 1


@pytest.mark.parametrize(
    "written", ["1024.0", "1024.000", "1.024e3", "1024e0", "10.24E+2", "10240e-1", "1024"]
)
def test_a_whole_number_is_an_integer_however_json_spells_it(written: str) -> None:
    resized = event("experiment.resized", AT, experiment="x", sizeBytes=7)
    lines = [
        resized.replace(b":7}", f": {written}}}".encode()),
        used(count=7).replace(b'"count":7', f'"count":{written}'.encode()),
        event("user.upserted", AT, username='"count": 1.0', email="1e3"),
    ]

    by_line = decode_lines(lines, now=NOW)
    by_batch = decode_batch(b"[" + b",".join(lines) + b"]", now=NOW)

    assert by_line == by_batch
    numbered, counted, named = (each.data for each in by_line)
    assert (numbered.size_bytes, counted.count) == (1024, 1024)  # type: ignore[union-attr]
    assert (named.username, named.email) == ('"count": 1.0', "1e3")  # type: ignore[union-attr]


@pytest.mark.parametrize("written", ["1.5", "1e-3", "1e999999999", "1e19", "-1.0", "1.", "1.e3"])
async def test_a_number_that_is_not_whole_or_out_of_bounds_is_rejected(
    organization: Organization, written: str
) -> None:
    line = event("experiment.resized", AT, experiment="x", sizeBytes=7)

    [problem] = await organization.reject(line.replace(b":7}", f":{written}}}".encode()))

    assert problem.field in {"data.sizeBytes", ""}


# Duplicates


async def test_an_event_sent_twice_in_a_batch_is_stored_once(
    organization: Organization,
) -> None:
    line = used(count=5)

    assert await organization.accept(line, upserted(), line, line) == IngestResult(2, 2)
    assert len((await organization.rows())["event"]) == 2
    [month] = (await organization.rows())["user_month"]
    assert 5 in month
    assert 15 not in month


async def test_duplicates_in_another_chunk_of_the_batch_are_counted(
    organization: Organization,
) -> None:
    lines = [used(count=5), upserted()]

    assert await organization.accept(*lines, *lines, *lines, chunk=2) == IngestResult(2, 4)


async def test_a_batch_that_is_sent_again_changes_nothing(organization: Organization) -> None:
    await organization.accept(*ONE_OF_EACH)
    before = await organization.rows()
    revision = await _revision(organization)

    assert await organization.accept(*ONE_OF_EACH) == IngestResult(0, 12)
    assert await organization.accept(*reversed(ONE_OF_EACH), chunk=1) == IngestResult(0, 12)
    assert await organization.rows() == before
    assert await _revision(organization) == revision


async def _revision(organization: Organization) -> int:
    found = await find_organization(organization.database, organization.name)
    return int(found.revision)


async def test_new_events_in_a_batch_of_duplicates_are_stored(
    organization: Organization, other: Organization
) -> None:
    await organization.accept(*ONE_OF_EACH[:8])

    assert await organization.accept(*ONE_OF_EACH) == IngestResult(4, 8)

    await other.accept(*ONE_OF_EACH)
    assert await organization.rows() == await other.rows()


async def test_source_and_id_together_identify_an_event(
    organization: Organization, other: Organization
) -> None:
    line = used()
    similar = [
        line,
        altered(line, source="/other"),
        altered(line, id="other"),
        # Concatenated, source and id are the same.
        altered(line, source="ab", id="c"),
        altered(line, source="a", id="bc"),
    ]

    assert await organization.accept(*similar) == IngestResult(5, 0)
    # Events of another organization are no duplicates.
    assert await other.accept(*similar) == IngestResult(5, 0)


async def test_the_first_of_two_events_with_the_same_identity_counts(
    organization: Organization,
) -> None:
    line = used(count=5)
    forged = altered(line, data={"username": "ann", "channel": "ui", "count": 7})

    assert await organization.accept(line, forged) == IngestResult(1, 1)
    assert await organization.accept(forged) == IngestResult(0, 1)
    [stored] = (await organization.rows())["event"]
    assert {"username": "ann", "channel": "ui", "count": 5} in stored


async def test_a_rejected_batch_can_be_corrected_and_sent_again(
    organization: Organization,
) -> None:
    await organization.reject(*ONE_OF_EACH, used(count=-1))

    assert await organization.accept(*ONE_OF_EACH, used(count=1)) == IngestResult(13, 0)


async def test_a_rejected_batch_changes_no_stored_rows(organization: Organization) -> None:
    await organization.accept(*ONE_OF_EACH)

    # `reject` compares all tables; the valid events of the batch are in a chunk of their own.
    late = event("experiment.created", "2023-01-01T00:00:00Z", experiment="y", **PLACE)
    await organization.reject(late, upserted(email="new@x.org"), used(count=-1), chunk=2)


# Concurrent batches


def _events_of(number: int) -> list[bytes]:
    """Return events of an experiment and its owner in several months."""
    name = f"x{number}"
    place = {"workspace": f"w{number % 3}", "project": "p", "username": f"u{number % 5}"}
    return [
        event("experiment.created", f"2024-01-{number % 28 + 1:02}T00:00:00Z", experiment=name,
              **place, sizeBytes=number),
        event("experiment.resized", f"2024-02-{number % 28 + 1:02}T00:00:00Z", experiment=name,
              sizeBytes=2 * number),
        event("member.added", "2024-01-05T00:00:00Z", workspace=place["workspace"],
              username=place["username"]),
        event("usage.recorded", f"2024-03-{number % 28 + 1:02}T00:00:00Z",
              username=place["username"], channel="sdk", count=number),
    ]  # fmt: skip


async def test_events_that_two_clients_send_concurrently_are_stored_once(
    organization: Organization, other: Organization
) -> None:
    lines = [line for number in range(50) for line in _events_of(number)]

    first, second = await asyncio.gather(
        organization.accept(*lines, chunk=40), organization.accept(*reversed(lines), chunk=70)
    )

    assert first + second == IngestResult(accepted=200, duplicates=200)
    await other.accept(*lines)
    assert await organization.rows() == await other.rows()


async def test_overlapping_concurrent_batches_give_the_same_rows(
    organization: Organization, other: Organization
) -> None:
    histories = [_events_of(number) for number in range(40)]
    ingestor, calls = GroupCommitIngestor(organization.database), []
    for start in range(0, 40, 4):
        # Each history is in two batches, both sent by group commit and by import.
        batch = [line for history in histories[start : start + 8] for line in history]
        events = decode_lines(batch, now=NOW)
        calls += [ingestor.submit(organization.id, events, NOW), organization.accept(*batch)]
    sent = 2 * (9 * 32 + 16)

    results = await asyncio.gather(*calls)

    assert sum(result.accepted for result in results) == 160
    assert sum(result.duplicates for result in results) == sent - 160
    await other.accept(*(line for history in histories for line in history))
    assert await organization.rows() == await other.rows()


async def test_each_batch_of_a_group_commit_gets_its_own_result(
    organization: Organization,
) -> None:
    ingestor = GroupCommitIngestor(organization.database)
    [first] = decode_lines([used()], now=NOW)
    [second] = decode_lines([used()], now=NOW)
    batches = [[first], [first, second], [second, second], []]

    results = await asyncio.gather(
        *(ingestor.submit(organization.id, batch, NOW) for batch in batches)
    )

    # The first batch with an event has it accepted; for the others it is a duplicate.
    assert results == [
        IngestResult(1, 0),
        IngestResult(1, 1),
        IngestResult(0, 2),
        IngestResult(0, 0),
    ]


async def test_organizations_ingest_concurrently(
    organization: Organization, other: Organization
) -> None:
    lines = [line for number in range(10) for line in _events_of(number)]

    results = await asyncio.gather(organization.accept(*lines), other.accept(*lines))

    assert [*results] == [IngestResult(40, 0), IngestResult(40, 0)]
    assert await organization.rows() == await other.rows()


# More than one chunk


async def test_a_batch_larger_than_a_chunk_is_stored_completely(
    organization: Organization, other: Organization
) -> None:
    lines = [line for number in range(CHUNK_SIZE // 2) for line in _events_of(number)]
    assert len(lines) == 2 * CHUNK_SIZE

    assert await organization.accept(*lines, lines[0]) == IngestResult(2 * CHUNK_SIZE, 1)

    # In reverse order and in chunks that split histories, it gives the same rows.
    assert await other.accept(*reversed(lines), chunk=1_999) == IngestResult(2 * CHUNK_SIZE, 0)
    rows = await organization.rows()
    assert len(rows["event"]) == 2 * CHUNK_SIZE
    assert rows == await other.rows()


async def test_an_invalid_line_in_the_last_chunk_rejects_the_first_chunk_too(
    organization: Organization,
) -> None:
    lines = [used() for _ in range(2 * CHUNK_SIZE)]

    [problem] = await organization.reject(*lines, used(count=-1))

    assert problem.index == 2 * CHUNK_SIZE
    assert await organization.is_empty()
