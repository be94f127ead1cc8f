"""The activity of the feed, over GraphQL and on the command line."""

import io
from contextlib import redirect_stdout
from datetime import timedelta

import httpx
import pytest

from app.cli.feed import print_activity
from app.db.engine import Database
from app.domain.callers import Scope
from app.domain.errors import InvalidBatch
from app.services.file_import import import_lines
from app.services.organizations import find_organization
from tests.conftest import Feed, FixedClock, GraphQLClient, MakeKey, event

ACTIVITY = """{ feed {
    sources { source accepted duplicates lastEventAt lastReceivedAt }
    days { day accepted duplicates refused refusedBatches }
} }"""
GOOD = [
    event("workspace.upserted", "2026-10-01T00:00:00Z", id=id, source=source, name="lab")
    for id, source in (("1", "/a"), ("2", "/a"), ("3", "/b"))
]
BAD = event("workspace.upserted", "2026-10-01T00:00:00Z", name="")


async def test_the_activity_is_empty_before_the_first_batch(graphql: GraphQLClient) -> None:
    assert await graphql(ACTIVITY) == {"feed": {"sources": [], "days": []}}


async def test_batches_are_counted_by_source_and_by_day(
    feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    await feed(*GOOD, GOOD[0])
    clock.now += timedelta(days=1)
    await feed(*GOOD)

    assert (await graphql(ACTIVITY))["feed"] == {
        "sources": [
            {
                "source": source,
                "accepted": accepted,
                "duplicates": duplicates,
                "lastEventAt": "2026-10-01T00:00:00Z",
                "lastReceivedAt": "2026-11-25T12:00:00Z",
            }
            for source, accepted, duplicates in (("/a", 2, 3), ("/b", 1, 1))
        ],
        "days": [
            {"day": day, "accepted": accepted, "duplicates": duplicates, "refused": 0,
             "refusedBatches": 0}
            for day, accepted, duplicates in (("2026-11-25", 0, 3), ("2026-11-24", 3, 1))
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("media_type", "body", "refused"),
    [
        ("application/x-ndjson", b"\n".join([*GOOD, b"", BAD]), 4),
        ("application/cloudevents-batch+json", b"[" + b",".join([*GOOD, BAD]) + b"]", 4),
        ("application/cloudevents+json", BAD, 1),
        ("application/cloudevents-batch+json", b"no JSON", 0),
    ],
)
async def test_a_rejected_batch_is_counted_although_nothing_is_stored(
    client: httpx.AsyncClient,
    make_key: MakeKey,
    graphql: GraphQLClient,
    media_type: str,
    body: bytes,
    refused: int,
) -> None:
    key = await make_key("connector", Scope.EVENTS_WRITE)

    response = await client.post(
        "/api/events", content=body, headers={"Authorization": key, "Content-Type": media_type}
    )

    assert response.status_code == 400
    day = {"day": "2026-11-24", "accepted": 0, "duplicates": 0}
    assert (await graphql(ACTIVITY))["feed"] == {
        "sources": [],
        "days": [{**day, "refused": refused, "refusedBatches": 1}],
    }


async def test_the_command_line_shows_the_same_counts(
    database: Database, feed: Feed, clock: FixedClock
) -> None:
    await feed(*GOOD, GOOD[0])
    found = await find_organization(database, "default")
    with pytest.raises(InvalidBatch):
        await import_lines(database, found.organization_id, [[*GOOD, b""], [BAD]], clock.now)

    output = io.StringIO()
    with redirect_stdout(output):
        await print_activity(database, "default", 31)

    rows = [line.replace("│", " ").split() for line in output.getvalue().splitlines()]
    assert ["/a", "2", "1", "2026-10-01", "00:00:00", "2026-11-24", "12:00:00"] in rows
    assert ["2026-11-24", "3", "1", "4", "1"] in rows


@pytest.mark.parametrize("days", [0, 401])
async def test_days_must_be_from_1_to_400(graphql: GraphQLClient, days: int) -> None:
    response = await graphql.execute(f"{{ feed(days: {days}) {{ days {{ day }} }} }}")

    assert response["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


async def test_reading_the_activity_requires_the_scope_to_read_reports(
    graphql: GraphQLClient, make_key: MakeKey
) -> None:
    key = await make_key("root", Scope.EVENTS_WRITE)

    response = await graphql.execute(ACTIVITY, key=key)

    assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"
