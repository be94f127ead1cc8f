"""Unknown values differ from zero: sizes of experiments, and creation times of accounts."""

from datetime import UTC, datetime
from typing import Any

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.months import Month
from app.services.month_verification import verify_month
from app.services.months import close_month
from app.services.organizations import find_organization
from tests.conftest import Feed, FixedClock, GraphQLClient, event

SIZES = """
query ($month: Month!, $organization: String) {
chargebackReport(month: $month, organization: $organization) {
    numberOfExperiments unmeasuredExperiments totalSizeBytes
    workspaces {
        unmeasuredExperiments
        projects { name unmeasuredExperiments totalSizeBytes }
        members { userName unmeasuredExperiments }
        formerMembers { userName unmeasuredExperiments }
    }
    users { licensedUsers { username unmeasuredExperiments createdAt createdAtIsInferred } }
    corrections { originMonth figure amount project userName }
} }
"""


def created(name: str, at: str, project: str = "seg", **optional: Any) -> bytes:
    place = {"workspace": "vision", "project": project, "username": "ann"}
    return event("experiment.created", at, experiment=name, **place, **optional)


def resized(name: str, at: str, size_bytes: int) -> bytes:
    return event("experiment.resized", at, experiment=name, sizeBytes=size_bytes)


async def sizes(graphql: GraphQLClient, feed: Feed, month: str) -> Any:
    response = await graphql(SIZES, month=month, organization=feed.organization)
    return response["chargebackReport"]


async def unmeasured(graphql: GraphQLClient, feed: Feed, month: str) -> tuple[int, int, int]:
    """Return how many experiments a month has, how many are unmeasured, and the bytes."""
    found = await sizes(graphql, feed, month)
    figures = ("numberOfExperiments", "unmeasuredExperiments", "totalSizeBytes")
    return tuple(int(found[figure]) for figure in figures)  # type: ignore[return-value]


async def test_an_experiment_is_unmeasured_at_every_level_until_an_event_states_its_size(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        event("user.upserted", "2026-08-01T00:00:00Z", username="ann"),
        created("known", "2026-08-02T00:00:00Z", sizeBytes=300),
        created("unknown", "2026-08-02T00:00:00Z", "depth"),
        created("empty", "2026-08-02T00:00:00Z", sizeBytes=0),
        resized("unknown", "2026-10-10T00:00:00Z", 0),
    )

    september = await sizes(graphql, feed, "2026-09")
    [workspace] = september["workspaces"]
    [ann] = september["users"]["licensedUsers"]
    assert (september["unmeasuredExperiments"], september["totalSizeBytes"]) == (1, 300)
    assert workspace["unmeasuredExperiments"] == ann["unmeasuredExperiments"] == 1
    assert workspace["projects"] == [
        {"name": "depth", "unmeasuredExperiments": 1, "totalSizeBytes": 0},
        {"name": "seg", "unmeasuredExperiments": 0, "totalSizeBytes": 300},
    ]
    assert workspace["formerMembers"] == [{"userName": "ann", "unmeasuredExperiments": 1}]
    assert await unmeasured(graphql, feed, "2026-10") == (3, 0, 300)


async def test_an_unmeasured_experiment_is_counted_where_it_moves_until_it_is_measured_or_deleted(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        created("run", "2026-06-02T00:00:00Z"),
        created("run", "2026-07-02T00:00:00Z", "depth"),
        resized("run", "2026-08-02T00:00:00Z", 5),
        event("experiment.deleted", "2026-09-02T00:00:00Z", experiment="run"),
        created("run", "2026-09-03T00:00:00Z"),
        event("project.deleted", "2026-10-02T00:00:00Z", workspace="vision", name="seg"),
    )

    [workspace] = (await sizes(graphql, feed, "2026-07"))["workspaces"]
    assert [p["unmeasuredExperiments"] for p in workspace["projects"]] == [1, 0]
    assert [await unmeasured(graphql, feed, f"2026-{month:02}") for month in range(6, 11)] == [
        (1, 1, 0),
        (1, 1, 0),
        (1, 0, 5),
        (1, 1, 0),
        (0, 0, 0),
    ]


async def test_a_size_for_a_closed_month_becomes_a_correction(
    feed: Feed, graphql: GraphQLClient, database: Database, clock: FixedClock
) -> None:
    organization_id = (await find_organization(database, feed.organization)).organization_id
    await feed(created("run", "2026-09-02T00:00:00Z"))
    await close_month(database, organization_id, Month(2026, 9), by=OPERATOR, now=clock.now)

    await feed(resized("run", "2026-09-30T00:00:00Z", 7))

    assert await unmeasured(graphql, feed, "2026-09") == (1, 1, 0)
    assert await unmeasured(graphql, feed, "2026-10") == (1, 0, 7)
    corrections = (await sizes(graphql, feed, "2026-10"))["corrections"]
    # 7 bytes during the last day of September, 86,400,000,000 microseconds.
    assert [(each["figure"], each["amount"]) for each in corrections] == [
        ("BYTE_MICROSECONDS", "604800000000"),
        ("SIZE_BYTES", "7"),
        ("UNMEASURED_EXPERIMENTS", "-1"),
    ]
    for month in (Month(2026, 9), Month(2026, 10)):
        assert (await verify_month(database, organization_id, month)).differences == []


async def test_created_at_is_inferred_when_no_event_states_it(
    feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    clock.now = datetime(2026, 11, 5, tzinfo=UTC)
    await feed(
        event("user.upserted", "2026-09-05T00:00:00Z", username="ann"),
        event(
            "user.upserted",
            "2026-10-05T00:00:00Z",
            username="ann",
            createdAt="2026-10-20T00:00:00Z",
        ),
        event(
            "user.upserted",
            "2026-10-05T00:00:00Z",
            username="bob",
            createdAt="2026-09-01T00:00:00Z",
        ),
    )

    users = [
        (user["username"], user["createdAt"], user["createdAtIsInferred"])
        for month in ("2026-09", "2026-10")
        for user in (await sizes(graphql, feed, month))["users"]["licensedUsers"]
    ]
    # In October an event states that ann was created that month, after her first event.
    assert users == [
        ("ann", "2026-09-05T00:00:00Z", True),
        ("bob", "2026-09-01T00:00:00Z", False),
        ("ann", "2026-10-20T00:00:00Z", False),
        ("bob", "2026-09-01T00:00:00Z", False),
    ]
