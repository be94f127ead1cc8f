"""The rate card through GraphQL: entered by mutations, read back, refused in words."""

from typing import Any

import pytest

from app.domain.callers import Scope
from tests.conftest import Feed, GraphQLClient, MakeKey, event

ENTER = """
mutation {
  setCurrency(currency: "EUR")
  research: setCostCentre(code: "4711", name: "Research") { code name }
  storage: setRate(code: "storage", name: "Storage", measure: STORAGE)
  fee: setRate(code: "fee", name: "Platform", measure: FEE, costCentre: "4711")
  september: setPrice(rate: "storage", from: "2026-09", amount: "0.20", currency: "EUR")
  october: setPrice(rate: "storage", from: "2026-10", amount: "0.30")
  assign(kind: WORKSPACE, name: "vision", from: "2026-09", costCentre: "4711")
}
"""
READ = """
query ($month: Month!) {
  rateCard(month: $month) {
    currency
    costCentres { code name }
    rates { code measure unit price split costCentre }
    assignments { kind name costCentre }
  }
}
"""


async def test_an_entry_takes_effect_from_its_month_on(graphql: GraphQLClient, feed: Feed) -> None:
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))

    await graphql(ENTER)

    october = (await graphql(READ, month="2026-10"))["rateCard"]
    august = (await graphql(READ, month="2026-08"))["rateCard"]
    storage = {"code": "storage", "measure": "STORAGE", "unit": "GB-month", "split": None}
    fee = {"code": "fee", "measure": "FEE", "unit": "month", "split": None, "price": None}
    assert october == {
        "currency": "EUR",
        "costCentres": [{"code": "4711", "name": "Research"}],
        "rates": [
            {**fee, "costCentre": "4711"},
            {**storage, "price": "0.3000000000", "costCentre": None},
        ],
        "assignments": [{"kind": "WORKSPACE", "name": "vision", "costCentre": "4711"}],
    }
    assert [each["price"] for each in august["rates"]] == [None, None]
    assert august["assignments"] == []


async def refusal(graphql: GraphQLClient, mutation: str, **arguments: Any) -> tuple[str, str]:
    response = await graphql.execute(f"mutation {{ {mutation} }}", **arguments)
    [error] = response["errors"]
    return error["extensions"]["code"], error["message"]


async def test_a_price_starts_with_a_month_and_is_in_the_organizations_currency(
    graphql: GraphQLClient, feed: Feed
) -> None:
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await graphql(ENTER)
    before = await graphql(READ, month="2026-09")

    inside = await refusal(graphql, 'setPrice(rate: "storage", from: "2026-09-16", amount: "0.3")')
    dollars = await refusal(
        graphql, 'setPrice(rate: "storage", from: "2026-09", amount: "0.3", currency: "USD")'
    )

    assert "Reports, prices and assignments start with a month." in inside[1]
    assert dollars == (
        "CURRENCY_MISMATCH",
        "currency: the organization charges in EUR; got a price in USD.",
    )
    assert await graphql(READ, month="2026-09") == before


async def test_only_an_admin_key_changes_the_rate_card(
    graphql: GraphQLClient, make_key: MakeKey
) -> None:
    reader = await make_key("root", Scope.REPORT_READ)

    code, message = await refusal(graphql, 'setCurrency(currency: "EUR")', key=reader)

    assert (code, message) == (
        "FORBIDDEN",
        "This needs a key with the scope admin; the key has: report:read.",
    )
    assert (await graphql(READ, month="2026-09"))["rateCard"]["currency"] is None


@pytest.mark.parametrize(
    "amount", ['"NaN"', '"Infinity"', '"1_000"', '"0,20"', '""', "true", "[1]"]
)
async def test_an_amount_that_is_not_a_decimal_is_rejected(
    graphql: GraphQLClient, feed: Feed, amount: str
) -> None:
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await graphql(ENTER)
    before = await graphql(READ, month="2026-09")

    code, message = await refusal(
        graphql, f'setPrice(rate: "storage", from: "2026-09", amount: {amount})'
    )

    assert code == "INVALID_QUERY"
    assert "A Decimal must be a number such as 12.50" in message
    assert await graphql(READ, month="2026-09") == before
