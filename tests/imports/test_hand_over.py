"""A company moves over: its old service's reports, and from the next month on live sources.

The live source knows the past as well: what ran before the move, and was reported then.
"""

from typing import Any

import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidMonth, MonthBeforeCutover
from app.domain.months import Month
from app.services.imported_reports import import_reports
from app.services.month_verification import ComparedWith, verify_month
from app.services.months import close_month, reopen_month
from app.services.organizations import find_organization
from tests.conftest import Feed, FixedClock, GraphQLClient, RestClient, event
from tests.imports.conftest import ImportReports, document, member, project, user, workspace

OCTOBER = Month(2026, 10)
SEPTEMBER = document(
    "2026-09",
    [workspace("lab", [member("ann", 2, 3.0)], [project("p", 2, 3.0)], 2, 3.0)],
    [user("ann", uiUsageCount=4)],
)
MIB = 2**20
STOCKS = """
query ($month: Month!) { chargebackReport(month: $month) {
    numberOfExperiments totalSizeBytes corrections { originMonth figure }
    workspaces { name experimentsCreated
        members { userName numberOfExperiments } formerMembers { userName }
        projects { name numberOfExperiments }
    }
} }
"""


async def hand_over(database: Database, clock: FixedClock, month: Month = OCTOBER) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    await import_reports(database, found.organization_id, [], clock=clock, hand_over=month)


async def withdraw(database: Database, clock: FixedClock, month: Month = OCTOBER) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    await import_reports(database, found.organization_id, [], clock=clock, withdrawn=month)


async def live(feed: Feed) -> None:
    """What the platform itself tells: two runs of before, of which one grows, and a new one."""
    place = {"workspace": "lab", "project": "p", "username": "ann"}
    for name, at, size in (
        ("old-1", "2026-03-03T00:00:00Z", MIB),
        ("old-2", "2026-09-03T00:00:00Z", 2 * MIB),
        ("new", "2026-10-03T00:00:00Z", 4 * MIB),
    ):
        await feed(
            event("experiment.created", at, experiment=name, **place, sizeBytes=size),
            event("usage.recorded", at, username="ann", channel="sdk"),
        )
    await feed(
        event("experiment.resized", "2026-10-05T00:00:00Z", experiment="old-1", sizeBytes=8 * MIB)
    )


async def stocks(graphql: GraphQLClient, month: str) -> Any:
    return (await graphql(STOCKS, month=month))["chargebackReport"]


async def verified(database: Database, *months: Month) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    for month in months:
        assert (await verify_month(database, found.organization_id, month)).differences == []


@pytest.mark.parametrize("order", ["handed over first", "live first"])
async def test_live_sources_go_on_without_counting_anything_twice(
    import_: ImportReports,
    feed: Feed,
    graphql: GraphQLClient,
    rest: RestClient,
    database: Database,
    clock: FixedClock,
    order: str,
) -> None:
    await import_(SEPTEMBER)
    if order == "live first":
        await live(feed)
        # Without a hand-over both are there: two imported experiments and three others.
        assert (await stocks(graphql, "2026-10"))["numberOfExperiments"] == 5
    await hand_over(database, clock)
    if order == "handed over first":
        await live(feed)

    assert await rest("2026-09") == SEPTEMBER
    october = await stocks(graphql, "2026-10")
    assert (october["numberOfExperiments"], october["totalSizeBytes"]) == (3, 14 * MIB)
    assert october["workspaces"] == [
        {
            "name": "lab",
            "experimentsCreated": 1,
            "members": [{"userName": "ann", "numberOfExperiments": 3}],
            "formerMembers": [],
            "projects": [{"name": "p", "numberOfExperiments": 3}],
        }
    ]
    # What September's report says is what it was: nothing corrects it.
    assert october["corrections"] == []
    await verified(database, Month(2026, 9), OCTOBER)
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    compared = [
        (await verify_month(database, found.organization_id, month)).compared_with
        for month in (Month(2026, 8), Month(2026, 9), OCTOBER)
    ]
    assert compared == [ComparedWith.CLOSE, ComparedWith.CLOSE, ComparedWith.EVENTS]
    await hand_over(database, clock)
    assert await stocks(graphql, "2026-10") == october


async def test_months_since_the_hand_over_are_corrected_as_ever(
    import_: ImportReports,
    feed: Feed,
    graphql: GraphQLClient,
    database: Database,
    clock: FixedClock,
) -> None:
    await import_(SEPTEMBER)
    await hand_over(database, clock)
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    await close_month(database, found.organization_id, OCTOBER, by=OPERATOR, now=clock.now)

    await live(feed)

    corrections = (await stocks(graphql, "2026-11"))["corrections"]
    assert {each["originMonth"] for each in corrections} == {"2026-10"}
    await verified(database, Month(2026, 9), OCTOBER, Month(2026, 11))


@pytest.mark.parametrize("month", [Month(2026, 9), Month(2026, 11)])
async def test_only_the_month_after_the_last_report_can_be_handed_over(
    import_: ImportReports, database: Database, clock: FixedClock, month: Month
) -> None:
    await import_(SEPTEMBER)

    with pytest.raises(InvalidMonth, match="the last is of 2026-09"):
        await hand_over(database, clock, month)


async def test_no_report_is_imported_of_a_month_since_the_hand_over(
    import_: ImportReports, database: Database, clock: FixedClock
) -> None:
    await import_(SEPTEMBER)
    await hand_over(database, clock)

    with pytest.raises(InvalidMonth, match="live sources have taken over from 2026-10 on"):
        await import_({**SEPTEMBER, "reportDate": "2026-10"})


async def test_nothing_can_be_handed_over_without_a_report(
    database: Database, clock: FixedClock
) -> None:
    with pytest.raises(InvalidMonth, match="there is none"):
        await hand_over(database, clock)


async def test_a_month_before_the_hand_over_stays_closed(
    import_: ImportReports, database: Database, clock: FixedClock
) -> None:
    await import_(SEPTEMBER)
    await hand_over(database, clock)
    found = await find_organization(database, DEFAULT_ORGANIZATION)

    with pytest.raises(
        MonthBeforeCutover, match="2026-09 cannot be reopened: it keeps the figures"
    ):
        await reopen_month(
            database,
            found.organization_id,
            Month(2026, 9),
            reason="a test",
            by=OPERATOR,
            now=clock.now,
        )


SEEN = """
query ($month: Month!) { chargebackReport(month: $month) {
    numberOfExperiments totalSizeBytes
    corrections { originMonth figure workspace project userName amount }
    workspaces {
        name numberOfExperiments averageSizeInMb
        members { userName numberOfExperiments totalSizeBytes } formerMembers { userName }
        projects { name numberOfExperiments totalSizeBytes }
    }
    users { licensedUsers { username sdkUsageCount uiUsageCount lastUsedAt numberOfExperiments } }
} }
"""


async def seen(graphql: GraphQLClient, *months: str) -> list[Any]:
    return [(await graphql(SEEN, month=month))["chargebackReport"] for month in months]


async def test_what_is_withdrawn_was_never_handed_over(
    import_: ImportReports,
    graphql: GraphQLClient,
    rest: RestClient,
    database: Database,
    clock: FixedClock,
) -> None:
    await import_(SEPTEMBER)
    before = await seen(graphql, "2026-09", "2026-10", "2026-11")
    await hand_over(database, clock)

    await withdraw(database, clock)

    assert await seen(graphql, "2026-09", "2026-10", "2026-11") == before
    await verified(database, Month(2026, 9), OCTOBER)
    # The reports may go on, and be handed over a month later.
    october = {**SEPTEMBER, "reportDate": "2026-10"}
    await import_(october)
    await hand_over(database, clock, Month(2026, 11))
    assert (await rest("2026-10"), (await stocks(graphql, "2026-11"))["numberOfExperiments"]) == (
        october,
        0,
    )


@pytest.mark.parametrize("order", ["handed over first", "live first"])
async def test_what_live_sources_know_of_before_corrects_it_after_a_withdrawal(
    import_: ImportReports,
    feed: Feed,
    graphql: GraphQLClient,
    rest: RestClient,
    database: Database,
    clock: FixedClock,
    order: str,
) -> None:
    await import_(SEPTEMBER)
    if order == "live first":
        await live(feed)
    await hand_over(database, clock)
    if order == "handed over first":
        await live(feed)

    await withdraw(database, clock)

    # Two imported experiments, and three of the live source: of which two are told of September,
    # too, and one of each month since March.
    october = await stocks(graphql, "2026-10")
    assert (october["numberOfExperiments"], october["totalSizeBytes"]) == (5, 17 * MIB)
    corrected = {
        (each["workspace"], each["project"], each["userName"]): each["amount"]
        for each in (await seen(graphql, "2026-10"))[0]["corrections"]
        if (each["originMonth"], each["figure"]) == ("2026-09", "EXPERIMENTS")
    }
    assert {place: int(amount) for place, amount in corrected.items()} == {
        ("lab", None, None): 2,
        ("lab", "p", None): 2,
        ("lab", None, "ann"): 2,
        (None, None, "ann"): 2,
    }
    assert await rest("2026-09") == SEPTEMBER
    every_month = list(Month(2026, 2).through(Month(2026, 11)))
    await verified(database, *every_month[:-1])
    # What comes now is late as ever.
    await feed(event("usage.recorded", "2026-09-08T00:00:00Z", username="ann", channel="ui"))
    await verified(database, *every_month[:-1])
    # The same hand-over once more says the same as if it had been the first.
    await hand_over(database, clock)
    again = await stocks(graphql, "2026-10")
    assert (again["numberOfExperiments"], again["corrections"]) == (3, [])
    await verified(database, *every_month[:-1])


async def test_a_hand_over_on_which_a_closed_month_rests_is_not_withdrawn(
    import_: ImportReports, database: Database, clock: FixedClock
) -> None:
    await import_(SEPTEMBER)
    with pytest.raises(InvalidMonth, match="got 2026-10, and there is none"):
        await withdraw(database, clock)
    await hand_over(database, clock)
    with pytest.raises(InvalidMonth, match="live sources took over from 2026-10 on"):
        await withdraw(database, clock, Month(2026, 9))
    own_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    await close_month(database, own_id, OCTOBER, by=OPERATOR, now=clock.now)

    with pytest.raises(InvalidMonth, match="chargeback months reopen 2026-10"):
        await withdraw(database, clock)

    await reopen_month(database, own_id, OCTOBER, reason="a test", by=OPERATOR, now=clock.now)
    await withdraw(database, clock)
    await verified(database, Month(2026, 9), OCTOBER)


async def test_both_are_in_the_audit_log(
    import_: ImportReports, graphql: GraphQLClient, database: Database, clock: FixedClock
) -> None:
    await import_(SEPTEMBER)
    await hand_over(database, clock)
    await hand_over(database, clock)
    await withdraw(database, clock)

    log = await graphql(
        "{ auditLog(actions: [HANDED_OVER, HAND_OVER_WITHDRAWN]) { action target username } }"
    )

    assert [tuple(line.values()) for line in log["auditLog"]] == [
        ("HAND_OVER_WITHDRAWN", "2026-10", "operator"),
        ("HANDED_OVER", "2026-10", "operator"),
    ]
