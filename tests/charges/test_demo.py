"""The demo tells the stories of a month's end, and tells them alike each time."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from app.db.charges import read_booked_charges
from app.db.engine import Database
from app.db.row_reader import read_from_transaction
from app.demo.generate import DEMO_SEED, OrganizationShape, generate_events
from app.demo.rate_card import demo_rate_card
from app.domain.ids import organization_id
from app.domain.months import Month
from app.domain.rates import Measure
from app.server.demo import load_demo
from app.services.month_verification import verify_month
from app.services.rate_card_file import parse_rate_card
from tests.charges.conftest import OCTOBER, OWN, SEPTEMBER
from tests.conftest import NOW, GraphQLClient

STORIES = """
{
  months { month status }
  months_end: chargebackReport(month: "2026-10") {
    charges {
      corrections
      rates { code measure amount }
      costCentres { code amount }
      lines { originMonth amount }
    }
    users {
      licensedUsers(filter: { serviceAccount: false, suspended: false }) { lastUsedAt }
    }
  }
  rateCard(month: "2026-10") { costCentres { code } rates { code split } }
}
"""


def test_every_workspace_of_the_demo_but_one_is_assigned() -> None:
    card = parse_rate_card(demo_rate_card(OCTOBER.plus(-24), OCTOBER))
    events = map(orjson.loads, generate_events(OrganizationShape(), seed=DEMO_SEED, until=NOW))

    workspaces = {
        each["data"]["name"] for each in events if each["type"].endswith("workspace.upserted")
    }
    assert workspaces - {entry.name for entry in card.assignments} == {"simulation"}
    assert {entry.name for entry in card.assignments} <= workspaces
    assert len(card.cost_centres) == 6
    assert {rate.measure for rate in card.rates} >= {Measure.STORAGE, Measure.FEE, Measure.SEATS}
    assert [price.rate for price in card.prices].count("storage") == 2


async def test_the_loaded_demo_contains_the_documented_situations(
    database: Database, graphql: GraphQLClient, other_organization: str
) -> None:
    await load_demo(database, OWN, NOW)

    told: Any = await graphql(STORIES)
    charges = told["months_end"]["charges"]
    # Now is in November: September and all months before it are closed, October is not.
    assert {each["month"]: each["status"] for each in told["months"][:3]} == {
        "2026-11": "OPEN",
        "2026-10": "OPEN",
        "2026-09": "CLOSED",
    }
    assert {each["status"] for each in told["months"][2:]} == {"CLOSED"}
    late = [each for each in charges["lines"] if each["originMonth"]]
    assert {each["originMonth"] for each in late} == {"2026-09"}
    assert Decimal(charges["corrections"]) >= 1
    assert len(charges["rates"]) == 5
    assert all(Decimal(each["amount"]) > 0 for each in charges["rates"])
    *assigned, unassigned = charges["costCentres"]
    assert len(assigned) == len(told["rateCard"]["costCentres"]) == 6
    assert (unassigned["code"], Decimal(unassigned["amount"]) > 0) == (None, True)
    assert "PROPORTIONAL" in {each["split"] for each in told["rateCard"]["rates"]}
    idle_before = NOW - timedelta(days=90)
    idle = [
        each
        for each in told["months_end"]["users"]["licensedUsers"]
        if each["lastUsedAt"] is None or datetime.fromisoformat(each["lastUsedAt"]) < idle_before
    ]
    assert 1 <= len(idle) <= 10
    for month in (SEPTEMBER, OCTOBER):
        assert (await verify_month(database, OWN, month)).differences == []

    other = organization_id(other_organization)
    await load_demo(database, other, NOW)
    assert await charges_hash(database, other) == await charges_hash(database, OWN)


async def charges_hash(database: Database, organization: Any, month: Month = SEPTEMBER) -> str:
    async with database.transaction(organization) as tx:
        charges = await read_booked_charges(read_from_transaction(tx, organization), month)
    assert charges is not None
    return charges.sha256
