"""Storing batches of events: validated, all or nothing, each event once.

Bodies, files and responses are tested with the interface that handles them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Base
from app.domain.errors import EventProblem, InvalidBatch
from app.domain.event_decoding import decode_batch, decode_lines
from app.domain.events import EVENT_TYPES
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.file_import import import_lines
from app.services.group_commit import GroupCommitIngestor
from app.services.organizations import create_organization, find_organization
from tests.conftest import NOW, ClonedDatabase, event

_TABLES_WITHOUT_EVENT_DATA = {
    "organization",
    "api_key",
    "session",
    "audit_log",
    "feed_day",
    "feed_source",
}
_TABLES = [
    table.name
    for table in Base.metadata.sorted_tables
    if "organization_id" in table.c and table.name not in _TABLES_WITHOUT_EVENT_DATA
]
"""The tables that events fill, without those that count batches."""

_numbers = count(1)


@dataclass(frozen=True)
class Organization:
    """A test's own organization in the store that all tests here share."""

    database: Database
    id: UUID
    name: str

    async def accept(self, *lines: bytes, chunk: int = CHUNK_SIZE) -> IngestResult:
        """Store lines in one transaction, `chunk` of them at a time."""
        return await import_lines(self.database, self.id, _chunks(lines, chunk), NOW)

    async def reject(self, *lines: bytes, chunk: int = CHUNK_SIZE) -> tuple[EventProblem, ...]:
        """Return the problems of an invalid batch, and check that nothing was stored."""
        before = await self.rows()
        with pytest.raises(InvalidBatch) as caught:
            await self.accept(*lines, chunk=chunk)
        assert await self.rows() == before
        return caught.value.problems

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return its rows of all tables, without its id and times of arrival."""
        found = {}
        async with self.database.owner_transaction() as tx:
            for table in [*_TABLES, "organization"]:
                stored = Base.metadata.tables[table].c
                columns = [
                    column
                    for column in stored
                    if (table, column.name) not in _ARRIVAL_COLUMNS
                    and column.name != "organization_id"
                ]
                rows = await tx.execute(select(*columns).where(stored.organization_id == self.id))
                found[table] = sorted(map(tuple, rows), key=repr)
        return found

    async def is_empty(self) -> bool:
        """Return whether no event is stored in any table."""
        rows = await self.rows()
        return not any(rows[table] for table in _TABLES)


_ARRIVAL_COLUMNS = {
    ("event", "received_at"),
    ("organization", "name"),
    # It counts batches.
    ("organization", "revision"),
}


def _chunks(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


@pytest.fixture(scope="module")
async def store(postgres: str, template: str) -> AsyncIterator[Database]:
    async with ClonedDatabase(postgres, template) as database:
        yield database


async def _create_organization(store: Database) -> Organization:
    name = f"import-{next(_numbers)}"
    await create_organization(store, name, NOW)
    found = await find_organization(store, name)
    return Organization(store, found.organization_id, name)


@pytest.fixture
async def organization(store: Database) -> Organization:
    return await _create_organization(store)


@pytest.fixture
async def other(store: Database) -> Organization:
    return await _create_organization(store)


AT = "2024-03-10T00:00:00Z"
PLACE = {"workspace": "lab", "project": "p", "username": "ann"}


def upserted(**data: Any) -> bytes:
    """Return the upsert of user ann."""
    return event("user.upserted", AT, **{"username": "ann", "email": "ann@x.org", **data})


def used(**data: Any) -> bytes:
    """Return a use of the UI by ann."""
    return event("usage.recorded", AT, **{"username": "ann", "channel": "ui", **data})


def altered(line: bytes, **fields: object) -> bytes:
    """Return the event with other attributes; `...` removes one."""
    changed = orjson.loads(line) | fields
    return orjson.dumps({key: value for key, value in changed.items() if value is not ...})


ONE_OF_EACH = (
    upserted(),
    event("workspace.upserted", AT, name="lab"),
    event("member.added", AT, workspace="lab", username="ann"),
    event("project.upserted", AT, workspace="lab", name="p"),
    event("experiment.created", AT, experiment="x", **PLACE, sizeBytes=7),
    event("experiment.resized", AT, experiment="x", sizeBytes=9),
    used(count=3),
    event("experiment.deleted", AT, experiment="gone"),
    event("project.deleted", AT, workspace="lab", name="gone"),
    event("member.removed", AT, workspace="lab", username="gone"),
    event("workspace.deleted", AT, name="gone"),
    event("user.deleted", AT, username="gone"),
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
    month_tables = [table for table in _TABLES if table.endswith("_month")]
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


# Invalid batches


def _resized(size_bytes: object) -> bytes:
    return event("experiment.resized", AT, experiment="x", sizeBytes=size_bytes)


@pytest.mark.parametrize(
    ("line", "field", "found"),
    [
        (altered(upserted(), type="experiment.renamed"), "type", "'experiment.renamed'"),
        (altered(upserted(), type=5), "type", "5"),
        (altered(upserted(), specversion="0.3"), "specversion", "'0.3'"),
        (altered(upserted(), id=""), "id", "''"),
        (altered(upserted(), id=5), "id", "5"),
        (altered(upserted(), id="i" * 1025), "id", "'iii"),
        (altered(upserted(), id="a\0b"), "id", "'a\\x00b'"),
        (altered(upserted(), source=""), "source", "''"),
        (altered(upserted(), source="s" * 1025), "source", "'sss"),
        (altered(upserted(), source="a\0b"), "source", "'a\\x00b'"),
        (altered(upserted(), time="soon"), "time", "'soon'"),
        (altered(upserted(), time=1_710_028_800), "time", "1710028800"),
        (altered(upserted(), time="2024-03-10"), "time", "'2024-03-10'"),
        (altered(upserted(), time="2024-03-10T00:00:00"), "time", "'2024-03-10T00:00:00'"),
        (altered(upserted(), time="2023-02-29T00:00:00Z"), "time", "'2023-02-29T00:00:00Z'"),
        (altered(upserted(), time="2026-11-24T12:05:00.000001Z"), "time", "12:05:00.000001"),
        (altered(upserted(), time="2026-11-24T18:00:00+05:30"), "time", "18:00:00+05:30"),
        (altered(upserted(), time="1999-12-31T23:59:59.999999Z"), "time", "1999-12-31T23:59:59"),
        # Truncated to microseconds, not rounded to 2000.
        (altered(upserted(), time="1999-12-31T23:59:59.9999999Z"), "time", "1999-12-31T23:59:59"),
        (altered(upserted(), data=[]), "data", "[]"),
        (altered(upserted(), data="text"), "data", "'text'"),
        (altered(upserted(), data=None), "data", "None"),
        (upserted(username=""), "data.username", "''"),
        (upserted(username=None), "data.username", "None"),
        (upserted(username=["ann"]), "data.username", "['ann']"),
        (upserted(username="u" * 513), "data.username", "'uuu"),
        (upserted(username="a\0"), "data.username", "'a\\x00'"),
        (upserted(email=""), "data.email", "''"),
        (upserted(email="e" * 513), "data.email", "'eee"),
        (upserted(email="\0"), "data.email", "'\\x00'"),
        (upserted(role="OWNER"), "data.role", "'OWNER'"),
        (upserted(role="admin"), "data.role", "'admin'"),
        (upserted(suspended="yes"), "data.suspended", "'yes'"),
        (upserted(suspended=1), "data.suspended", "1"),
        (upserted(serviceAccount=0), "data.serviceAccount", "0"),
        (upserted(createdAt="yesterday"), "data.createdAt", "'yesterday'"),
        (upserted(createdAt="2024-03-10T00:00:00"), "data.createdAt", "'2024-03-10T00:00:00'"),
        # Placeholders for "never set" and "forever"; the last two have no year in UTC.
        (upserted(createdAt="0001-01-01T00:00:00Z"), "data.createdAt", "0001-01-01"),
        (upserted(createdAt="9999-12-31T23:59:59.9999999Z"), "data.createdAt", "9999-12-31"),
        (upserted(createdAt="0001-01-01T00:00:00+14:00"), "data.createdAt", "0001-01-01"),
        (upserted(createdAt="9999-12-31T23:59:59-14:00"), "data.createdAt", "9999-12-31"),
        (upserted(createdAt="1969-12-31T23:59:59.999999Z"), "data.createdAt", "1969-12-31"),
        (upserted(createdAt="2026-11-24T12:05:00.000001Z"), "data.createdAt", "12:05:00.000001"),
        (event("workspace.upserted", AT, name="n" * 513), "data.name", "'nnn"),
        (event("workspace.deleted", AT, name="\0"), "data.name", "'\\x00'"),
        (event("member.added", AT, workspace="", username="ann"), "data.workspace", "''"),
        (event("project.upserted", AT, workspace="lab", name=""), "data.name", "''"),
        (event("experiment.deleted", AT, experiment="a\0"), "data.experiment", "'a\\x00'"),
        (_resized(-1), "data.sizeBytes", "-1"),
        (_resized(2**50 + 1), "data.sizeBytes", "1125899906842625"),
        (_resized(1.5), "data.sizeBytes", "1.5"),
        (_resized("7"), "data.sizeBytes", "'7'"),
        (_resized(True), "data.sizeBytes", "True"),
        (_resized(None), "data.sizeBytes", "None"),
        (event("experiment.created", AT, experiment="x", **PLACE, sizeBytes=-1),
         "data.sizeBytes", "-1"),
        (event("experiment.created", AT, experiment="x", **(PLACE | {"project": ""})),
         "data.project", "''"),
        (used(channel="api"), "data.channel", "'api'"),
        (used(channel="UI"), "data.channel", "'UI'"),
        (used(count=-1), "data.count", "-1"),
        (used(count=10**9 + 1), "data.count", "1000000001"),
        (used(count=0.5), "data.count", "0.5"),
    ],
)  # fmt: skip
async def test_an_invalid_event_is_rejected_with_its_field_and_value(
    organization: Organization, line: bytes, field: str, found: str
) -> None:
    [problem] = await organization.reject(upserted(), line)

    assert (problem.index, problem.field) == (1, field)
    assert found in problem.message
    assert await organization.is_empty()


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        (altered(upserted(), type="nonsense"), EVENT_TYPES),
        (altered(upserted(), specversion="0.3"), ["1.0"]),
        (upserted(role="OWNER"), ["ADMIN", "MEMBER"]),
        (used(channel="api"), ["ui", "sdk"]),
        (altered(upserted(), time="1999-01-01T00:00:00Z"), ["2000-01-01"]),
        (_resized(-1), ["0"]),
        (_resized(2**50 + 1), [str(2**50)]),
        (upserted(username="u" * 513), ["512"]),
    ],
    ids=["type", "specversion", "role", "channel", "time", "smallest", "largest", "length"],
)
async def test_a_rejection_names_the_allowed_values(
    organization: Organization, line: bytes, allowed: Sequence[str]
) -> None:
    [problem] = await organization.reject(line)

    message = problem.message.rpartition("; got ")[0]
    assert [value for value in allowed if value not in message] == []


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "time", "data"])
async def test_a_missing_attribute_is_named(organization: Organization, missing: str) -> None:
    [problem] = await organization.reject(altered(upserted(), **{missing: ...}))

    assert f"`{missing}`" in problem.message
    assert await organization.is_empty()


@pytest.mark.parametrize(
    ("type_", "data", "missing"),
    [
        ("user.upserted", {"email": "ann@x.org"}, "username"),
        ("user.deleted", {}, "username"),
        ("workspace.upserted", {"workspace": "lab"}, "name"),
        ("member.added", {"username": "ann"}, "workspace"),
        ("project.deleted", {"workspace": "lab"}, "name"),
        ("experiment.created", {"experiment": "x", "workspace": "w", "project": "p"}, "username"),
        ("experiment.resized", {"experiment": "x"}, "sizeBytes"),
        ("usage.recorded", {"username": "ann"}, "channel"),
    ],
)
async def test_a_missing_field_is_named(
    organization: Organization, type_: str, data: dict[str, str], missing: str
) -> None:
    [problem] = await organization.reject(event(type_, AT, **data))

    assert problem.field in {"data", f"data.{missing}"}
    assert f"`{missing}`" in problem.message
    assert await organization.is_empty()


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"{",
        b"[]",
        b"5",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"data":' * 100_000,
        upserted() + b" x",
        upserted() + upserted(),
        b"\xff\xfe" + upserted(),
        # Half of a surrogate pair, escaped and raw, and bytes that are not UTF-8.
        upserted().replace(b'"ann"', b'"\\ud83d"'),
        upserted().replace(b'"ann"', b'"\\ude00"'),
        upserted().replace(b'"ann"', b'"\xed\xa0\xbd"'),
        upserted().replace(b'"ann"', b'"\xff"'),
        upserted().replace(b'"ann"', b"NaN"),
        upserted().replace(b'"ann"', b'"a\nb"'),
    ],
    ids=str,
)
async def test_malformed_lines_are_rejected(organization: Organization, line: bytes) -> None:
    [problem] = await organization.reject(upserted(), line, upserted())

    assert (problem.index, problem.field) == (1, "")
    assert problem.message
    assert await organization.is_empty()


async def test_every_invalid_event_of_a_batch_is_listed(
    organization: Organization,
) -> None:
    lines = (
        upserted(),
        altered(upserted(), type="nonsense"),
        altered(upserted(), time="1999-01-01T00:00:00Z"),
        upserted(username="a\0"),
        b"nonsense",
        used(),
        used(count=-1),
    )

    expected = [(1, "type"), (2, "time"), (3, "data.username"), (4, ""), (6, "data.count")]
    assert [(each.index, each.field) for each in await organization.reject(*lines)] == expected
    body = b"[" + b",".join(line for line in lines if line != b"nonsense") + b"]"
    with pytest.raises(InvalidBatch) as caught:
        decode_batch(body, now=NOW)
    assert [each.index for each in caught.value.problems] == [1, 2, 3, 5]


async def test_the_index_of_invalid_events_counts_across_chunks(
    organization: Organization,
) -> None:
    lines = [used() for _ in range(10)]
    for index in (2, 3, 9):
        lines[index] = used(count=-index)

    problems = await organization.reject(*lines, chunk=3)

    assert [problem.index for problem in problems] == [2, 3, 9]
    assert await organization.is_empty()


async def test_a_rejection_lists_at_most_100_invalid_events(
    organization: Organization,
) -> None:
    lines = [used(count=-1) for _ in range(250)]

    expected = list(range(100))
    assert [each.index for each in await organization.reject(*lines)] == expected
    assert [each.index for each in await organization.reject(*lines, chunk=70)] == expected
    assert await organization.is_empty()


LAST_INSTANT = altered(upserted(), time="2024-02-29T23:59:59.9999999Z")


@pytest.mark.parametrize(
    "line",
    [
        LAST_INSTANT.replace(b'"time"', b'"tim\\u0065"'),
        LAST_INSTANT.replace(b"59.9", b"59\\u002e9"),
    ],
    ids=["name", "value"],
)
def test_time_is_truncated_to_microseconds_even_if_json_escapes_it(line: bytes) -> None:
    [decoded] = decode_lines([line], now=NOW)

    assert decoded.time == datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)


async def test_a_failure_to_read_the_lines_stores_nothing(organization: Organization) -> None:
    def truncated_file() -> Iterable[Sequence[bytes]]:
        yield [upserted()]
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")

    with pytest.raises(EOFError):
        await import_lines(organization.database, organization.id, truncated_file(), NOW)

    assert await organization.is_empty()


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
