"""The rate card: what is stored, what is refused, and that a refusal stores nothing."""

from collections.abc import Awaitable
from decimal import Decimal

import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import (
    ChargebackError,
    CurrencyMismatch,
    InvalidArgument,
    MonthClosed,
    NotFound,
)
from app.domain.ids import organization_id, user_id, workspace_id
from app.domain.months import Month
from app.domain.rates import AssignedKind, CostCentre, Measure, Rate, Split
from app.services.months import close_month
from app.services.rate_card import (
    AssignmentEntry,
    assign,
    fetch_rate_card,
    set_cost_centre,
    set_currency,
    set_price,
    set_rate,
)
from tests.charges.conftest import Finance
from tests.conftest import NOW, Feed, event, record_statements

OWN = organization_id(DEFAULT_ORGANIZATION)
SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)
STORAGE = Rate("storage", "Storage", Measure.STORAGE)


class RateCardEditor:
    """The service's functions, as the operator of the default organization calls them."""

    def __init__(self, database: Database) -> None:
        self.database = database

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

    async def assign(self, kind: AssignedKind, name: str, code: str | None, month: Month) -> None:
        entries = [AssignmentEntry(kind, name, code, month)]
        await assign(self.database, OWN, entries, by=OPERATOR, now=NOW)


@pytest.fixture
def editor(database: Database) -> RateCardEditor:
    return RateCardEditor(database)


async def refusal(change: Awaitable[None]) -> str:
    with pytest.raises(ChargebackError) as refused:
        await change
    return f"{refused.value.code}: {refused.value}"


async def test_a_price_holds_until_the_next_one_and_a_null_price_ends_it(
    editor: RateCardEditor,
) -> None:
    await editor.currency("EUR")
    await editor.rate(STORAGE)
    await editor.price("storage", SEPTEMBER, "0.20")
    await editor.price("storage", OCTOBER, "0.30")
    await editor.price("storage", Month(2027, 1), None)

    card = await fetch_rate_card(editor.database, OWN)
    prices = {
        str(month): [price for _, price in tariff.rates]
        for month in (Month(2026, 8), SEPTEMBER, OCTOBER, Month(2026, 12), Month(2027, 1))
        if (tariff := card.tariff(month))
    }

    assert prices == {
        "2026-08": [],
        "2026-09": [Decimal("0.20")],
        "2026-10": [Decimal("0.30")],
        "2026-12": [Decimal("0.30")],
        "2027-01": [],
    }


async def test_an_assignment_holds_until_the_next_one(editor: RateCardEditor, feed: Feed) -> None:
    await feed(
        event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"),
        event("user.upserted", "2026-09-01T00:00:00Z", username="ann"),
    )
    await editor.currency("EUR")
    await editor.cost_centre("4711", "Research")
    await editor.cost_centre("4712", "Sales")
    await editor.assign(AssignedKind.WORKSPACE, "vision", "4711", SEPTEMBER)
    await editor.assign(AssignedKind.WORKSPACE, "vision", "4712", OCTOBER)
    await editor.assign(AssignedKind.USER, "ann", "4712", SEPTEMBER)
    await editor.assign(AssignedKind.USER, "ann", None, OCTOBER)

    card = await fetch_rate_card(editor.database, OWN)
    september, october = card.tariff(SEPTEMBER), card.tariff(OCTOBER)

    assert september is not None
    assert october is not None
    assert september.assignments == (
        {workspace_id("vision"): "4711"},
        {user_id("ann"): "4712"},
    )
    assert october.assignments == ({workspace_id("vision"): "4712"}, {})


async def test_refusals_name_the_value_and_store_nothing(
    editor: RateCardEditor, feed: Feed
) -> None:
    await editor.currency("EUR")
    await editor.rate(STORAGE)
    before = await fetch_rate_card(editor.database, OWN)

    refusals = [
        await refusal(editor.currency("DEM")),
        await refusal(editor.price("storage", SEPTEMBER, "0.30", currency="USD")),
        await refusal(editor.price("storage", SEPTEMBER, "-1")),
        await refusal(editor.price("storage", SEPTEMBER, "0.12345678901")),
        await refusal(editor.price("storage", SEPTEMBER, "NaN")),
        await refusal(editor.price("seats", SEPTEMBER, "1")),
        await refusal(editor.rate(Rate("storage", "Storage", Measure.SEATS))),
        await refusal(editor.rate(Rate("fee", "Platform", Measure.FEE))),
        await refusal(editor.rate(Rate("fee", "Platform", Measure.FEE, Split.EVEN, "4711"))),
        await refusal(editor.rate(Rate("seat", "Seat", Measure.SEATS, Split.EVEN))),
        await refusal(editor.cost_centre(" ", "Blank")),
        await refusal(editor.assign(AssignedKind.WORKSPACE, "nowhere", None, SEPTEMBER)),
        await refusal(editor.assign(AssignedKind.USER, "nobody", "4711", SEPTEMBER)),
    ]

    assert refusals == [
        (
            "INVALID_ARGUMENT: currency: 'DEM' is not a national currency of ISO 4217: "
            "write its three letters, such as EUR."
        ),
        "CURRENCY_MISMATCH: currency: the organization charges in EUR; got a price in USD.",
        (
            "INVALID_ARGUMENT: amount: must be at least 0 and less than 10,000,000,000, "
            "with at most "
            "10 decimals; got -1."
        ),
        (
            "INVALID_ARGUMENT: amount: must be at least 0 and less than 10,000,000,000, "
            "with at most "
            "10 decimals; got 0.12345678901."
        ),
        (
            "INVALID_ARGUMENT: amount: must be at least 0 and less than 10,000,000,000, "
            "with at most "
            "10 decimals; got NaN."
        ),
        "NOT_FOUND: rate: there is no rate 'seats': create it first.",
        (
            "INVALID_ARGUMENT: measure: rate 'storage' charges STORAGE, which cannot change: "
            "create another rate for SEATS."
        ),
        (
            "INVALID_ARGUMENT: split: a FEE needs either a split (EVEN or PROPORTIONAL) or the "
            "cost "
            "centre that pays it."
        ),
        (
            "INVALID_ARGUMENT: split: a FEE needs either a split (EVEN or PROPORTIONAL) or the "
            "cost "
            "centre that pays it."
        ),
        "INVALID_ARGUMENT: measure: only a FEE has a split or a cost centre; got SEATS.",
        "INVALID_ARGUMENT: code: must be 1 to 50 characters without surrounding blanks; got ' '.",
        "NOT_FOUND: workspace: 'nowhere' is not known: no event has named it yet.",
        "NOT_FOUND: costCentre: there is no cost centre '4711'.",
    ]
    assert await fetch_rate_card(editor.database, OWN) == before


async def test_a_closed_month_keeps_its_prices_and_assignments(
    editor: RateCardEditor, feed: Feed
) -> None:
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await editor.currency("EUR")
    await editor.rate(STORAGE)
    await editor.price("storage", SEPTEMBER, "0.20")
    await close_month(editor.database, OWN, SEPTEMBER, by=OPERATOR, now=NOW)
    before = await fetch_rate_card(editor.database, OWN)

    with pytest.raises(MonthClosed, match="the earliest month is 2026-10"):
        await editor.price("storage", SEPTEMBER, "0.25")
    with pytest.raises(MonthClosed, match="workspace 'vision': from 2026-08 would change"):
        await editor.assign(AssignedKind.WORKSPACE, "vision", None, Month(2026, 8))

    assert await fetch_rate_card(editor.database, OWN) == before


async def test_the_currency_cannot_change_once_there_are_prices(editor: RateCardEditor) -> None:
    await editor.currency("USD")
    await editor.currency("EUR")
    await editor.rate(STORAGE)
    await editor.price("storage", SEPTEMBER, "0.20")

    with pytest.raises(CurrencyMismatch, match="prices are in EUR"):
        await editor.currency("USD")

    assert (await fetch_rate_card(editor.database, OWN)).currency == ("EUR", 2)


async def test_prices_need_a_currency(editor: RateCardEditor) -> None:
    await editor.rate(STORAGE)

    with pytest.raises(InvalidArgument, match="set the organization's currency"):
        await editor.price("storage", SEPTEMBER, "0.20")
    with pytest.raises(NotFound, match="no cost centre '4711'"):
        await editor.rate(Rate("fee", "Platform", Measure.FEE, None, "4711"))


async def test_the_whole_rate_card_is_read_with_one_statement(
    finance: Finance, feed: Feed, database: Database
) -> None:
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await finance.charge(STORAGE, "0.2")
    await finance.assign_workspace("vision", "4711")

    with record_statements(database) as statements:
        charges = await finance.charges(SEPTEMBER)

    tables = ("cost_centre", "rate", "price", "assignment")
    reads = [text for text in statements.texts if any(f"FROM {each}" in text for each in tables)]
    assert charges["currency"] == "EUR"
    assert len(reads) == 1
    assert all(f"FROM {each}" in reads[0] for each in tables)
