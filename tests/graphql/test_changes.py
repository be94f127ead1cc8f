"""Comparing a report with an earlier month: `previous`, `change`, what is gone, and GROWTH."""

from typing import Any

import pytest

from app.db.engine import Database
from tests.conftest import Feed, GraphQLClient, event
from tests.graphql.conftest import MEGABYTE
from tests.graphql.test_statements import record_report_reads

SEPTEMBER, OCTOBER = "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"


def experiment(time: str, workspace: str, megabytes: int, name: str = "x") -> bytes:
    return event(
        "experiment.created",
        time,
        experiment=f"{workspace} {name}",
        workspace=workspace,
        project="p",
        username="ann",
        sizeBytes=megabytes * MEGABYTE,
    )


@pytest.fixture
async def two_months(feed: Feed) -> None:
    """Store workspaces whose averages in MB are, in September and in October:

    - kept: 10, then 15
    - fresh: none, then 3
    - ending: 31 for 30 days, then 31 for one day of 31, which is 1
    - dropped: 8, then none: it was deleted at the first instant of October
    """
    await feed(
        event("user.upserted", SEPTEMBER, username="ann"),
        experiment(SEPTEMBER, "kept", 10),
        experiment(OCTOBER, "kept", 5, "y"),
        experiment(OCTOBER, "fresh", 3),
        experiment(SEPTEMBER, "ending", 31),
        event("workspace.deleted", "2026-10-02T00:00:00Z", name="ending"),
        experiment(SEPTEMBER, "dropped", 8),
        event("workspace.deleted", OCTOBER, name="dropped"),
    )


async def fetch(graphql: GraphQLClient, selection: str, month: str = "2026-10") -> dict[str, Any]:
    data = await graphql(f'{{ chargebackReport(month: "{month}") {{ {selection} }} }}')
    report: dict[str, Any] = data["chargebackReport"]
    return report


AVERAGE = "name change { presence averageSizeInMb { absolute percent } }"


def change(name: str, presence: str, absolute: float, percent: float | None) -> dict[str, Any]:
    average = {"absolute": absolute, "percent": percent}
    return {"name": name, "change": {"presence": presence, "averageSizeInMb": average}}


async def test_a_change_shows_what_is_new_kept_and_gone(
    two_months: None, graphql: GraphQLClient
) -> None:
    report = await fetch(
        graphql,
        "averageSizeInMb change { averageSizeInMb { absolute percent } } "
        f"workspaces {{ {AVERAGE} }} formerWorkspaces {{ {AVERAGE} }} "
        f"goneWorkspaces {{ averageSizeInMb {AVERAGE} }}",
    )

    assert report == {
        # 15 + 3 + 1 after 10 + 31 + 8; 30 of 49 is 61.22 %.
        "averageSizeInMb": 19,
        "change": {"averageSizeInMb": {"absolute": -30, "percent": -61.22}},
        "workspaces": [change("fresh", "NEW", 3, None), change("kept", "KEPT", 5, 50)],
        "formerWorkspaces": [change("ending", "GONE", -30, -96.77)],
        "goneWorkspaces": [{"averageSizeInMb": 0, **change("dropped", "GONE", -8, -100)}],
    }


async def test_previous_is_the_same_thing_in_an_earlier_month(
    two_months: None, graphql: GraphQLClient
) -> None:
    figures = "previous { averageSizeInMb numberOfExperiments }"
    report = await fetch(
        graphql,
        f"previous {{ reportDate averageSizeInMb workspaces {{ name }} }} "
        f"workspaces {{ {figures} projects {{ {figures} }} members {{ userName }} "
        f"formerMembers {{ {figures} }} }} users {{ licensedUsers {{ {figures} }} }}",
    )

    before = {"averageSizeInMb": 10, "numberOfExperiments": 1}
    assert report["previous"] == {
        "reportDate": "2026-09",
        "averageSizeInMb": 49,
        "workspaces": [{"name": "dropped"}, {"name": "ending"}, {"name": "kept"}],
    }
    fresh, kept = report["workspaces"]
    assert fresh == {
        "previous": None,
        "projects": [{"previous": None}],
        "members": [],
        "formerMembers": [{"previous": None}],
    }
    assert kept["previous"] == before
    assert kept["projects"] == kept["formerMembers"] == [{"previous": before}]
    owned = {"averageSizeInMb": 49, "numberOfExperiments": 3}
    assert report["users"]["licensedUsers"] == [{"previous": owned}]


async def test_months_chooses_the_earlier_month(two_months: None, graphql: GraphQLClient) -> None:
    """In November kept and fresh are as at the end of October; its first 24 days count."""
    report = await fetch(
        graphql,
        "one: change { totalSizeBytes { absolute } } "
        "two: change(months: 2) { totalSizeBytes { absolute } } "
        "gone: goneWorkspaces(months: 2) { name } "
        "three: previous(months: 3) { reportDate }",
        month="2026-11",
    )

    # At the ends: 10 + 31 in September (dropped ends with it), 18 in October and November.
    assert report["one"] == {"totalSizeBytes": {"absolute": 0}}
    assert report["two"] == {"totalSizeBytes": {"absolute": (18 - 49) * MEGABYTE}}
    assert report["gone"] == [{"name": "dropped"}, {"name": "ending"}]
    assert report["three"] is None  # August is before the first event.


@pytest.mark.parametrize("months", [0, 121, -1])
async def test_a_distance_out_of_range_is_refused(
    two_months: None, graphql: GraphQLClient, months: int
) -> None:
    for field in ("previous", "goneWorkspaces", "workspaces { change"):
        name, _, inner = field.partition(" { ")
        selection = f"{inner or name}(months: {months}) {{ __typename }}"
        selection = f"{name} {{ {selection} }}" if inner else selection
        query = f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}'
        (error,) = (await graphql.execute(query))["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["message"] == f"months: must be from 1 to 120; got {months}."


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("", ["kept", "fresh"]), (", direction: ASCENDING", ["fresh", "kept"])],
)
async def test_growth_compares_with_the_month_before(
    two_months: None, graphql: GraphQLClient, direction: str, expected: list[str]
) -> None:
    report = await fetch(graphql, f"workspaces(orderBy: GROWTH{direction}) {{ name }}")
    assert [each["name"] for each in report["workspaces"]] == expected


async def test_amounts_change_with_prices(two_months: None, graphql: GraphQLClient) -> None:
    """0.10 for each experiment created: 3 in September, 2 in October."""
    await graphql(
        """mutation {
            setCurrency(currency: "EUR")
            setRate(code: "x", name: "Experiments", measure: EXPERIMENTS_CREATED)
            setPrice(rate: "x", from: "2026-09", amount: "0.10")
        }"""
    )
    changes = "change { amount { absolute percent } }"
    report = await fetch(
        graphql,
        f"amount {changes} workspaces {{ amount {changes} projects {{ {changes} }} }} "
        f"goneWorkspaces {{ amount {changes} }}",
    )
    same = {"amount": {"absolute": "0.00", "percent": 0}}
    new = {"amount": {"absolute": "0.10", "percent": None}}
    gone = {"amount": {"absolute": "-0.10", "percent": -100}}
    assert report["amount"] == "0.20"
    assert report["change"] == {"amount": {"absolute": "-0.10", "percent": -33.33}}
    assert report["workspaces"] == [
        {"amount": "0.10", "change": new, "projects": [{"change": new}]},
        {"amount": "0.10", "change": same, "projects": [{"change": same}]},
    ]
    assert report["goneWorkspaces"] == [{"amount": "0.00", "change": gone}]


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ("previous { reportDate }", 2),
        ("change { totalSizeBytes { absolute } }", 2),
        # Above the lists there is one statement for how the earlier month is read.
        ("workspaces { previous { name } }", 4),
        ("workspaces { change { presence } previous { name } }", 5),
        ("workspaces { projects { change { presence } } }", 5),
        ("workspaces(orderBy: GROWTH) { name }", 3),
        ("goneWorkspaces { name }", 3),
        ("users { goneUsers { username } licensedUsers { change { presence } } }", 5),
    ],
)
async def test_each_compared_level_takes_one_statement(
    two_months: None, database: Database, graphql: GraphQLClient, selection: str, count: int
) -> None:
    query = f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}'
    assert len(await record_report_reads(database, graphql, query)) == count
