"""Late usage and late licences of closed months: the usage goes where the licence goes."""

from typing import Any

from app.services.month_verification import verify_month
from tests.charges.conftest import AUGUST, OCTOBER, OWN, SEPTEMBER, Finance, finance
from tests.charges.test_charged_to_nobody import UI_RATE, use
from tests.conftest import Feed, GraphQLClient, event

__all__ = ["finance"]  # The fixture that these tests use.

CORRECTIONS = """
{ chargebackReport(month: "2026-10") {
    corrections { originMonth figure amount userName }
    charges { total }
} }
"""


async def fetch(graphql: GraphQLClient) -> Any:
    report = (await graphql(CORRECTIONS))["chargebackReport"]
    assert {each["userName"] for each in report["corrections"]} <= {"bob"}
    september = [each for each in report["corrections"] if each["originMonth"] == "2026-09"]
    return {each["figure"]: each["amount"] for each in september}, report["charges"]["total"]


async def test_usage_follows_the_licence_into_a_closed_month_and_back(
    feed: Feed, graphql: GraphQLClient, finance: Finance
) -> None:
    await finance.charge(UI_RATE, "0.50", AUGUST)
    await feed(event("workspace.upserted", "2026-08-01T00:00:00Z", name="w"), use("bob", "ui", 3))
    await finance.close(SEPTEMBER)

    await feed(use("bob", "ui", 1))
    assert await fetch(graphql) == ({"UNLICENSED_UI_USAGE": "1"}, "0.00")

    await feed(event("user.upserted", "2026-08-05T00:00:00Z", username="bob"))
    # 1 late use was charged to nobody, and 3 of the closed report: all 4 are charged to bob now.
    assert await fetch(graphql) == (
        {"LICENSED_USERS": "1", "UI_USAGE": "4", "UNLICENSED_UI_USAGE": "-3"},
        "2.00",
    )

    await feed(event("user.deleted", "2026-08-06T00:00:00Z", username="bob"))
    assert await fetch(graphql) == ({"UNLICENSED_UI_USAGE": "1"}, "0.00")
    for month in (AUGUST, SEPTEMBER, OCTOBER):
        found = await verify_month(finance.database, OWN, month)
        assert found.differences == []


async def test_uses_and_licence_in_one_late_batch_are_charged(
    feed: Feed, graphql: GraphQLClient, finance: Finance
) -> None:
    await finance.charge(UI_RATE, "0.50", AUGUST)
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="w"), use("bob", "ui", 3))
    await finance.close(SEPTEMBER)

    await feed(use("bob", "ui", 1), event("user.upserted", "2026-09-05T00:00:00Z", username="bob"))

    # 4 uses at 0.50; before, 3 of them were charged to nobody.
    assert await fetch(graphql) == (
        {"LICENSED_USERS": "1", "UI_USAGE": "4", "UNLICENSED_UI_USAGE": "-3"},
        "2.00",
    )


async def test_a_count_of_0_long_ago_licenses_nobody_in_closed_months(
    feed: Feed, graphql: GraphQLClient, finance: Finance
) -> None:
    created = {"username": "bob", "createdAt": "2020-01-01T00:00:00Z"}
    await feed(event("user.upserted", "2026-09-01T00:00:00Z", **created))
    await finance.close(SEPTEMBER)

    await feed(
        event("usage.recorded", "2025-03-01T00:00:00Z", username="bob", channel="ui", count=0)
    )

    query = '{ chargebackReport(month: "2026-10") { corrections { figure } } }'
    assert (await graphql(query))["chargebackReport"]["corrections"] == []
    query = '{ chargebackReport(month: "2025-03") { users { numberOfUsers } } }'
    assert (await graphql(query))["chargebackReport"]["users"]["numberOfUsers"] == 0
    found = await verify_month(finance.database, OWN, SEPTEMBER)
    assert found.differences == []
