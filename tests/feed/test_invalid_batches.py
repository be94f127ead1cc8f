"""Invalid batches: each problem is named, and nothing is stored."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from app.domain.errors import InvalidBatch
from app.domain.event_decoding import decode_batch, decode_body, decode_lines
from app.domain.events import EVENT_TYPES
from app.services.file_import import import_lines
from tests.conftest import NOW, event
from tests.feed.organizations import AT, PLACE, Organization, altered, upserted, used

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


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t", b"\xef\xbb\xbf\n"])
def test_an_empty_body_is_no_single_event(body: bytes) -> None:
    with pytest.raises(InvalidBatch) as caught:
        decode_body("application/cloudevents+json", body, now=NOW)

    assert [str(problem.message) for problem in caught.value.problems] == [
        "must be an event; the body is empty"
    ]
    assert decode_body("application/x-ndjson", body, now=NOW) == []
