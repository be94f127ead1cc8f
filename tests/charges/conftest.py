"""An organization with a rate card, for tests of what is charged."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.ids import organization_id
from app.domain.months import Month
from app.domain.rates import AssignedKind, CostCentre, Measure, Rate, Split
from app.services.months import close_month, reopen_month
from app.services.rate_card import (
    AssignmentEntry,
    assign,
    set_cost_centre,
    set_currency,
    set_price,
    set_rate,
)
from tests.conftest import NOW, GraphQLClient

OWN = organization_id(DEFAULT_ORGANIZATION)
AUGUST, SEPTEMBER, OCTOBER = Month(2026, 8), Month(2026, 9), Month(2026, 10)
GB = 2**30
STORAGE = Rate("storage", "Storage", Measure.STORAGE)
SEAT = Rate("seat", "Seats", Measure.SEATS)
FEE = Rate("fee", "Platform", Measure.FEE, Split.PROPORTIONAL)

CHARGES = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    charges {
      currency total corrections
      rates { code amount }
      costCentres { code name amount }
      lines {
        rate costCentre workspace userName originMonth quantity unit price exactAmount amount
      }
    }
  }
}
"""


class Finance:
    """What an admin does with the rate card of the default organization, and what it charges."""

    def __init__(self, database: Database, graphql: GraphQLClient) -> None:
        self.database, self.graphql = database, graphql

    async def currency(self, code: str) -> None:
        await set_currency(self.database, OWN, code, by=OPERATOR, now=NOW)

    async def cost_centre(self, code: str, name: str) -> None:
        await set_cost_centre(self.database, OWN, CostCentre(code, name), by=OPERATOR, now=NOW)

    async def rate(self, rate: Rate) -> None:
        await set_rate(self.database, OWN, rate, by=OPERATOR, now=NOW)

    async def price(
        self, rate: str, month: Month, amount: str | None, currency: str | None = None
    ) -> None:
        value = None if amount is None else Decimal(amount)
        await set_price(
            self.database, OWN, rate, month, value, currency=currency, by=OPERATOR, now=NOW
        )

    async def charge(self, rate: Rate, amount: str, month: Month = SEPTEMBER) -> None:
        """Create a rate with a price from a month on."""
        await self.rate(rate)
        await self.price(rate.code, month, amount)

    async def assign(
        self, kind: AssignedKind, name: str, code: str | None, month: Month = SEPTEMBER
    ) -> None:
        entries = [AssignmentEntry(kind, name, code, month)]
        await assign(self.database, OWN, entries, by=OPERATOR, now=NOW)

    async def assign_workspace(
        self, name: str, code: str | None, month: Month = SEPTEMBER
    ) -> None:
        await self.assign(AssignedKind.WORKSPACE, name, code, month)

    async def assign_user(self, name: str, code: str | None, month: Month = SEPTEMBER) -> None:
        await self.assign(AssignedKind.USER, name, code, month)

    async def close(self, month: Month) -> None:
        await close_month(self.database, OWN, month, by=OPERATOR, now=NOW)

    async def reopen(self, month: Month) -> None:
        await reopen_month(self.database, OWN, month, reason="test", by=OPERATOR, now=NOW)

    async def charges(self, month: Month) -> Any:
        data = await self.graphql(CHARGES, month=str(month))
        return data["chargebackReport"]["charges"]

    async def by_cost_centre(self, month: Month) -> Mapping[str | None, str]:
        charges = await self.charges(month)
        return {each["code"]: each["amount"] for each in charges["costCentres"]}


@pytest.fixture
async def finance(database: Database, graphql: GraphQLClient) -> Finance:
    """An organization that charges in EUR, with three cost centres and no rates."""
    finance = Finance(database, graphql)
    await finance.currency("EUR")
    for code, name in (("4711", "Research"), ("4712", "Sales"), ("4713", "Vision")):
        await finance.cost_centre(code, name)
    return finance
