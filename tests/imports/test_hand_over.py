"""A company moves over: its old service's reports, and from the next month on live sources.

The live source knows the past as well: what ran before the move, and was reported then.
"""

from typing import Any

import pytest

from app.db.engine import Database
from app.domain.acts import OPERATOR
from app.domain.errors import InvalidMonth, MonthHandedOver
from app.domain.months import Month
from resolvers.imported_reports import import_reports
from resolvers.months import Compared, close_month, reopen_month, verify_month
from resolvers.organizations import DEFAULT, find_organization
from tests.conftest import Feed, FixedClock, GraphQL, Rest, event
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
    found = await find_organization(database, DEFAULT)
    await import_reports(database, found.organization_id, [], clock=clock, hand_over=month)


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


async def stocks(graphql: GraphQL, month: str) -> Any:
    return (await graphql(STOCKS, month=month))["chargebackReport"]


async def verified(database: Database, *months: Month) -> None:
    found = await find_organization(database, DEFAULT)
    for month in months:
        assert (await verify_month(database, found.organization_id, month)).differences == []


@pytest.mark.parametrize("order", ["handed over first", "live first"])
async def test_live_sources_go_on_without_counting_anything_twice(
    import_: ImportReports,
    feed: Feed,
    graphql: GraphQL,
    rest: Rest,
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
    found = await find_organization(database, DEFAULT)
    compared = [
        (await verify_month(database, found.organization_id, month)).compared
        for month in (Month(2026, 8), Month(2026, 9), OCTOBER)
    ]
    assert compared == [Compared.CLOSE, Compared.CLOSE, Compared.EVENTS]
    await hand_over(database, clock)
    assert await stocks(graphql, "2026-10") == october


async def test_months_since_the_hand_over_are_corrected_as_ever(
    import_: ImportReports, feed: Feed, graphql: GraphQL, database: Database, clock: FixedClock
) -> None:
    await import_(SEPTEMBER)
    await hand_over(database, clock)
    found = await find_organization(database, DEFAULT)
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
    found = await find_organization(database, DEFAULT)

    with pytest.raises(MonthHandedOver, match="2026-09 stays what its imported report states"):
        await reopen_month(
            database,
            found.organization_id,
            Month(2026, 9),
            reason="a test",
            by=OPERATOR,
            now=clock.now,
        )
