"""Closing and reopening months: what freezes, what opens, and which corrections are booked."""

import io
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.cli.report import ReportRequest, print_report
from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.month_verification import verify_month
from app.services.months import (
    close_due_months,
    close_month,
    list_close_history,
    reopen_month,
)
from app.services.organizations import create_organization
from app.settings import Settings
from tests.conftest import Feed, FixedClock, GraphQLClient, RestClient, event
from tests.report.queries import REPORT_QUERY

OWN: UUID = organization_id("default")
AUGUST, SEPTEMBER = Month(2026, 8), Month(2026, 9)
FIRST_EVENTS = (
    event("user.upserted", "2026-09-02T00:00:00Z", username="ann", email="ann@x.test"),
    event("workspace.upserted", "2026-09-02T00:00:00Z", name="lab"),
)
LATE = event(
    "experiment.created",
    "2026-08-30T00:00:00Z",
    experiment="e",
    workspace="lab",
    project="p",
    username="ann",
    sizeBytes=3 * 1_048_576,
)
EXPERIMENTS = "query ($month: Month!) { chargebackReport(month: $month) { numberOfExperiments } }"


async def close(database: Database, month: Month, clock: FixedClock) -> list[str]:
    closed = await close_month(database, OWN, month, by=OPERATOR, now=clock.now)
    return [str(each) for each in closed]


async def reopen(database: Database, month: Month, clock: FixedClock) -> None:
    await reopen_month(database, OWN, month, reason="a test", by=OPERATOR, now=clock.now)


async def experiments(graphql: GraphQLClient, month: Month) -> int:
    response = await graphql(EXPERIMENTS, month=str(month))
    return int(response["chargebackReport"]["numberOfExperiments"])


async def test_closing_the_first_month_closes_the_months_before_it(
    database: Database, feed: Feed, rest: RestClient, graphql: GraphQLClient, clock: FixedClock
) -> None:
    await feed(*FIRST_EVENTS)
    await close(database, SEPTEMBER, clock)
    before = await rest.get(reportMonth="2026-08")

    await feed(LATE)
    after = await rest.get(reportMonth="2026-08")

    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    assert "immutable" in after.headers["cache-control"]
    assert (await verify_month(database, OWN, AUGUST)).differences == []
    assert await experiments(graphql, AUGUST) == 0


async def test_late_events_change_no_byte_of_a_closed_report(
    database: Database, feed: Feed, rest: RestClient, graphql: GraphQLClient, clock: FixedClock
) -> None:
    at = "2026-09-15T00:00:00Z"
    await feed(
        *FIRST_EVENTS,
        event("member.added", at, workspace="lab", username="ann"),
        event("experiment.created", at, experiment="x", workspace="lab", project="p",
              username="ann", sizeBytes=7),
        event("usage.recorded", at, username="ann", channel="ui", count=3),
    )  # fmt: skip
    await close(database, SEPTEMBER, clock)
    before = await rest.get(reportMonth="2026-09"), await graphql(REPORT_QUERY, month="2026-09")

    late = "2026-09-20T00:00:00Z"
    clock.now += timedelta(days=1)
    for line in (
        LATE,
        event("user.upserted", late, username="ann", email="new@x.test", suspended=True),
        event("user.upserted", "2026-09-01T00:00:00Z", username="bob", email="bob@x.test"),
        event("usage.recorded", late, username="ann", channel="ui", count=4),
        event("usage.recorded", late, username="ann", channel="sdk"),
        event("experiment.resized", late, experiment="x", sizeBytes=9),
        event("member.removed", late, workspace="lab", username="ann"),
        event("project.deleted", late, workspace="lab", name="p"),
        event("workspace.deleted", late, name="lab"),
        event("workspace.upserted", late, name="laboratory"),
        event("user.deleted", late, username="ann"),
    ):
        await feed(line)
        document = await rest.get(reportMonth="2026-09")
        assert document.content == before[0].content
        assert document.headers["etag"] == before[0].headers["etag"]
        assert await graphql(REPORT_QUERY, month="2026-09") == before[1]
        assert (await verify_month(database, OWN, SEPTEMBER)).differences == []


async def test_reopening_the_first_closed_month_reopens_the_months_before_it(
    database: Database, feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    await close(database, SEPTEMBER, clock)  # The organization has no events yet.
    await feed(*FIRST_EVENTS, LATE)
    assert [await experiments(graphql, month) for month in (AUGUST, SEPTEMBER)] == [0, 0]

    await reopen(database, SEPTEMBER, clock)

    assert [await experiments(graphql, month) for month in (AUGUST, SEPTEMBER)] == [1, 1]
    for month in AUGUST.through(Month(2026, 10)):
        assert (await verify_month(database, OWN, month)).differences == []
    response = await graphql('{ chargebackReport(month: "2026-10") { corrections { amount } } }')
    assert response["chargebackReport"]["corrections"] == []


async def test_graphql_closes_one_month_or_those_that_it_expects(
    database: Database, feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    mutation = """mutation ($expected: [Month!]) {
        closeMonth(month: "2026-10", expected: $expected) { month } }"""
    await close(database, Month(2026, 7), clock)

    for expected in (None, [], ["2026-10"], ["2026-08", "2026-10"]):
        response = await graphql.execute(mutation, {"expected": expected})
        [error] = response["errors"]
        assert error["extensions"]["code"] == "CLOSES_OTHER_MONTHS"
        assert error["message"] == (
            "Closing 2026-10 also closes 2 earlier months, 2026-08 to 2026-09. Nothing was "
            "closed. Name every month that is expected to close, or close the earliest first."
        )
    months = await graphql("{ months { month status } }")
    assert [each["month"] for each in months["months"] if each["status"] == "CLOSED"] == [
        "2026-07"
    ]

    # Another admin closes August meanwhile, which was expected, too.
    await close(database, AUGUST, clock)
    closed = await graphql(mutation, expected=["2026-08", "2026-09", "2026-10"])
    assert closed["closeMonth"] == [{"month": "2026-09"}, {"month": "2026-10"}]
    assert await graphql(mutation, expected=None) == {"closeMonth": []}


@pytest.mark.parametrize("announced", ["before", "after"])
async def test_a_licence_in_a_closed_month_before_the_first_event_becomes_a_correction(
    database: Database, feed: Feed, graphql: GraphQLClient, clock: FixedClock, announced: str
) -> None:
    # Ann's account is older than every event. Months before the first event are empty, so a late
    # event in August makes her licensed in August and September.
    ann = event(
        "user.upserted",
        "2026-10-02T00:00:00Z",
        username="ann",
        email="ann@x.test",
        createdAt="2020-02-29T12:00:00Z",
    )
    late = event("workspace.upserted", "2026-08-20T00:00:00Z", name="lab")
    await close(database, SEPTEMBER, clock)
    for line in (ann, late) if announced == "before" else (late, ann):
        await feed(line)

    response = await graphql(
        """{ chargebackReport(month: "2026-10") {
            corrections { originMonth figure amount userName } } }"""
    )

    found = response["chargebackReport"]["corrections"]
    assert [each for each in found if each["figure"] == "LICENSED_USERS"] == [
        {"originMonth": month, "figure": "LICENSED_USERS", "amount": "1", "userName": "ann"}
        for month in ("2026-08", "2026-09")
    ]
    assert (await verify_month(database, OWN, AUGUST)).differences == []


async def test_a_user_created_after_the_close_is_charged_for_usage_before_it(
    database: Database, feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    # September closes with 3 uses of a user without an account, and shows none of them. A fourth
    # use arrives late, then the account: the corrections are 1 licence, 3 + 1 uses, and 3 uses
    # fewer that are charged to nobody.
    used = {"username": "ann", "channel": "sdk"}
    await feed(event("usage.recorded", "2026-09-03T00:00:00Z", **used, count=3))
    await close(database, SEPTEMBER, clock)
    await feed(event("usage.recorded", "2026-09-04T00:00:00Z", **used))
    ann = {"username": "ann", "email": "ann@x.test"}
    await feed(event("user.upserted", "2026-09-02T00:00:00Z", **ann))

    response = await graphql(
        """{ chargebackReport(month: "2026-10") { corrections { figure amount userName } } }"""
    )

    assert response["chargebackReport"]["corrections"] == [
        {"figure": "LICENSED_USERS", "amount": "1", "userName": "ann"},
        {"figure": "SDK_USAGE", "amount": "4", "userName": "ann"},
        {"figure": "UNLICENSED_SDK_USAGE", "amount": "-3", "userName": "ann"},
    ]
    assert (await verify_month(database, OWN, SEPTEMBER)).differences == []


@pytest.mark.parametrize("closed_meanwhile", [False, True])
async def test_a_late_change_that_is_undone_corrects_nothing(
    database: Database,
    feed: Feed,
    graphql: GraphQLClient,
    clock: FixedClock,
    closed_meanwhile: bool,
) -> None:
    # August closes with the workspace. Then a late event deletes it in August, and another creates
    # it again: -1 and +1, which cancel each other unless they are booked in two months.
    await feed(event("workspace.upserted", "2026-08-01T00:00:00Z", name="lab"))
    await close(database, AUGUST, clock)
    await feed(event("workspace.deleted", "2026-08-02T00:00:00Z", name="lab"))
    if closed_meanwhile:
        await close(database, SEPTEMBER, clock)
    await feed(event("workspace.upserted", "2026-08-03T00:00:00Z", name="lab"))

    response = await graphql(
        """{ chargebackReports(from: "2026-09", to: "2026-10") {
            corrections { originMonth amount } } }"""
    )

    late = [row for report in response["chargebackReports"] for row in report["corrections"]]
    amounts = [int(row["amount"]) for row in late if row["originMonth"] == "2026-08"]
    assert amounts == ([-1, 1] if closed_meanwhile else [])
    assert (await verify_month(database, OWN, AUGUST)).differences == []


async def test_the_command_line_shows_corrections_in_megabyte_months(
    database: Database, feed: Feed, clock: FixedClock
) -> None:
    await feed(*FIRST_EVENTS)
    await close(database, SEPTEMBER, clock)
    await feed(LATE)

    output = io.StringIO()
    with redirect_stdout(output):
        october = Month(2026, 10)
        await print_report(database, Settings.load(), "default", ReportRequest(october, october))

    lines = output.getvalue().splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    # 3 MB for two of August's 31 days, and for all of September: MB-months.
    assert ["lab (correction of 2026-08)", "", "", "", "1", "", "0.19"] in rows
    assert ["lab (correction of 2026-09)", "", "", "", "0", "", "3.00"] in rows
    assert ["Total with corrections", "", "", "", "1", "", "6.19"] in rows


@pytest.mark.parametrize(
    ("now", "closed"),
    [
        (datetime(2026, 10, 5, 23, 59, 59, tzinfo=UTC), []),
        (datetime(2026, 10, 6, tzinfo=UTC), [("default", SEPTEMBER)]),
    ],
)
async def test_a_month_is_due_the_given_days_after_its_end(
    database: Database, feed: Feed, now: datetime, closed: list[tuple[str, Month]]
) -> None:
    await feed(*FIRST_EVENTS)

    for expected in (closed, []):
        assert expected == await close_due_months(
            database, after_days=5, now=now, on_failure=raise_failure
        )


def raise_failure(_: str, error: Exception) -> None:
    raise error


async def test_one_organization_that_fails_does_not_hold_up_the_others(
    database: Database, feed: Feed, clock: FixedClock
) -> None:
    await feed(*FIRST_EVENTS)
    for name in ("broken", "whole"):
        await create_organization(database, name, clock.now)
        await Feed(database, clock, name)(
            event("workspace.upserted", "2026-10-02T00:00:00Z", name="w")
        )
    async with database.owner_transaction() as tx:
        await tx.exec_driver_sql(
            f"ALTER TABLE month_close ADD CHECK (organization_id <> '{organization_id('broken')}')"
        )
    failed: list[str] = []

    closed = await close_due_months(
        database, after_days=5, now=clock.now, on_failure=lambda name, _: failed.append(name)
    )

    assert closed == [
        ("default", SEPTEMBER),
        ("default", Month(2026, 10)),
        ("whole", Month(2026, 10)),
    ]
    assert failed == ["broken"]


async def test_a_month_closes_again_within_the_same_request(
    database: Database, feed: Feed, clock: FixedClock, graphql: GraphQLClient
) -> None:
    await feed(*FIRST_EVENTS)

    result = await graphql.execute("""mutation {
        a: closeMonth(month: "2026-09") { month }
        b: reopenMonth(month: "2026-09", reason: "a source was late") { month }
        c: closeMonth(month: "2026-09") { month }
    }""")

    assert "errors" not in result
    history = await list_close_history(database, OWN)
    assert [(each.action, each.happened_at) for each in history] == [
        ("CLOSED", clock.now),
        ("REOPENED", clock.now),
        ("CLOSED", clock.now),
    ]
