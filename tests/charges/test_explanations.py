"""Why a line has its amount: from the fraction and each rounding to rows and events."""

from typing import Any

import orjson
import pytest

from app.domain.callers import Scope
from app.domain.rates import Measure, Rate
from tests.charges.conftest import FEE, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, GraphQLClient, MakeKey, event

EXPLAIN = """
query ($charge: ID!) {
  explain(charge: $charge) {
    line { rate amount }
    month numerator denominator
    rounding { level exactAmount amount }
    parts { name quantity unit amount }
    events { source type time data }
  }
}
"""
SDK = Rate("sdk", "SDK uses", Measure.SDK_USES)


async def explain(graphql: GraphQLClient, month: str, **wanted: str | None) -> dict[str, Any]:
    """Explain the line with these values."""
    report = await graphql(
        "query ($month: Month!) { chargebackReport(month: $month) { charges { lines "
        "{ lineId rate costCentre workspace userName originMonth } } } }",
        month=month,
    )
    [line_id] = [
        line["lineId"]
        for line in report["chargebackReport"]["charges"]["lines"]
        if wanted.items() <= line.items()
    ]
    found: dict[str, Any] = (await graphql(EXPLAIN, charge=line_id))["explain"]
    return found


def step(level: str, exact: str, amount: str) -> dict[str, str]:
    return {"level": level, "exactAmount": exact, "amount": amount}


def part(name: str, quantity: str, unit: str, amount: str | None) -> dict[str, str | None]:
    return {"name": name, "quantity": quantity, "unit": unit, "amount": amount}


@pytest.fixture
async def example(finance: Finance, feed: Feed) -> Finance:
    """A third of 40.00 each: vision, whose two projects share its part, crm and pilot."""
    await feed(
        experiment("a", "2026-09-01T00:00:00Z", 1),
        experiment("b", "2026-09-01T00:00:00Z", 1, project="old"),
        experiment("c", "2026-09-01T00:00:00Z", 2, workspace="crm"),
        experiment("d", "2026-09-01T00:00:00Z", 2, workspace="pilot"),
    )
    await finance.charge(STORAGE, "6.6666666667")
    for workspace, code in (("vision", "4711"), ("crm", "4712"), ("pilot", "4713")):
        await finance.assign_workspace(workspace, code)
    return finance


async def test_a_storage_line_is_explained_by_projects_and_their_events(
    example: Finance, graphql: GraphQLClient
) -> None:
    found = await explain(graphql, "2026-09", rate="storage", workspace="crm")

    # 3 x 13.3333333334 = 40.0000000002: each cost centre 13.33, and the cent to the first code.
    assert found["rounding"] == [
        step("RATE", "40.0000000002", "40.00"),
        step("COST_CENTRE", "13.3333333334", "13.33"),
        step("LINE", "13.3333333334", "13.33"),
    ]
    assert (found["month"], found["numerator"], found["denominator"]) == ("2026-09", "2", "1")
    assert found["parts"] == [part("seg", "2", "GB-month", "13.33")]
    assert [(each["type"], each["time"]) for each in found["events"]] == [
        ("experiment.created", "2026-09-01T00:00:00Z")
    ]
    assert orjson.loads(found["events"][0]["data"])["experiment"] == "c"


async def test_the_shares_of_projects_add_up_to_the_line(
    example: Finance, graphql: GraphQLClient
) -> None:
    found = await explain(graphql, "2026-09", rate="storage", workspace="vision")

    # 13.34 for two equal projects.
    assert found["line"]["amount"] == "13.34"
    assert found["parts"] == [
        part("old", "1", "GB-month", "6.67"),
        part("seg", "1", "GB-month", "6.67"),
    ]


async def test_closing_a_month_changes_no_explanation(
    example: Finance, graphql: GraphQLClient
) -> None:
    before = await explain(graphql, "2026-09", rate="storage", workspace="vision")
    await example.close(SEPTEMBER)

    assert await explain(graphql, "2026-09", rate="storage", workspace="vision") == before


async def test_a_shared_seat_is_explained_by_the_memberships_that_share_it(
    finance: Finance, feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        user("dee"),
        *(
            event("member.added", "2026-09-02T00:00:00Z", workspace=name, username="dee")
            for name in ("vision", "crm")
        ),
    )
    await finance.charge(SEAT, "24.99")

    found = await explain(graphql, "2026-09", rate="seat", workspace="crm")

    assert (found["numerator"], found["denominator"]) == ("1", "2")
    assert found["parts"] == [
        part("crm", "0.5", "user-month", "12.50"),
        part("vision", "0.5", "user-month", "12.49"),
    ]
    assert {each["type"] for each in found["events"]} == {"user.upserted", "member.added"}


async def test_a_shared_fee_is_explained_by_the_direct_charges(
    example: Finance, graphql: GraphQLClient
) -> None:
    await example.charge(FEE, "1000.00")

    found = await explain(graphql, "2026-09", rate="fee", costCentre="4711")

    # 13.34 of 40.00 are charged to 4711 directly: 667/2000 of the fee.
    assert (found["numerator"], found["denominator"]) == ("667", "2000")
    assert found["line"]["amount"] == "333.50"
    assert found["parts"] == [
        part("4711", "13.34", "EUR", None),
        part("4712", "13.33", "EUR", None),
        part("4713", "13.33", "EUR", None),
    ]
    assert found["events"] == []


async def test_a_correction_is_explained_by_the_late_events(
    example: Finance, feed: Feed, graphql: GraphQLClient
) -> None:
    await example.charge(SDK, "0.01")
    await feed(user("ann"))
    await example.close(SEPTEMBER)
    await feed(
        experiment("late", "2026-09-16T00:00:00Z", 30, workspace="crm", owner="bob"),
        event("usage.recorded", "2026-09-20T00:00:00Z", username="ann", channel="sdk", count=7),
    )

    storage = await explain(
        graphql, str(OCTOBER), rate="storage", workspace="crm", originMonth="2026-09"
    )
    uses = await explain(graphql, str(OCTOBER), rate="sdk", originMonth="2026-09")

    assert storage["month"] == "2026-09"
    assert storage["parts"] == [part("seg / bob", "15", "GB-month", None)]
    assert uses["parts"] == [part("Unassigned", "7", "use", "0.07")]


@pytest.mark.parametrize("line_id", ["", "57", "2026-09", "2026-09-0123456789abcdef", "2026-99-x"])
async def test_an_unknown_line_is_not_found(
    example: Finance, graphql: GraphQLClient, line_id: str
) -> None:
    [error] = (await graphql.execute(EXPLAIN, {"charge": line_id}))["errors"]

    assert error["extensions"]["code"] == "NOT_FOUND"
    assert error["message"] == f"charge: there is no charge line {line_id!r}."


async def test_a_statement_key_explains_nothing(
    example: Finance, graphql: GraphQLClient, make_key: MakeKey
) -> None:
    key = await make_key("grace", Scope.STATEMENT_READ, cost_centres=["4711"])

    [error] = (await graphql.execute(EXPLAIN, {"charge": "2026-09-x"}, key=key))["errors"]

    assert error["extensions"]["code"] == "FORBIDDEN"
