"""The demo's rate card fits the demo's events."""

import orjson

from app.demo.generate import OrganizationShape, generate_events
from app.demo.rate_card import demo_rate_card
from app.domain.rates import Measure
from app.server.serve import DEMO_SEED
from app.services.rate_card_file import parse_rate_card
from tests.charges.conftest import OCTOBER
from tests.conftest import NOW


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
