"""Charges in FOCUS: what the official validator does not check."""

import csv
import io
import json
from decimal import Decimal

import pytest

from app.db.engine import Database
from app.domain.ids import project_id
from app.settings import Settings
from tests.charges.conftest import FEE, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_charge_files import ChargesClient, charges
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, FixedClock, create_client, event

__all__ = ["charges"]


@pytest.fixture
async def october(finance: Finance, feed: Feed) -> Finance:
    """October: storage, a seat, a fee, and a correction of September."""
    await feed(user("ann"), event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await finance.charge(STORAGE, "0.23")
    await finance.charge(SEAT, "24.99", OCTOBER)
    await finance.charge(FEE, "100.00", OCTOBER)
    await finance.assign_workspace("vision", "4711")
    await finance.close(SEPTEMBER)
    # 10 GB for the last 10 of September's 30 days, and for all of October.
    await feed(experiment("late", "2026-09-21T00:00:00Z", 10))
    return finance


def parse(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


async def test_a_correction_has_the_charge_period_of_its_origin_month(
    october: Finance, charges: ChargesClient
) -> None:
    rows = parse(await charges("focus-1.2", "2026-10"))

    [correction] = [row for row in rows if row["ChargeClass"]]
    assert correction["ChargeClass"] == "Correction"
    assert correction["BillingPeriodStart"] == "2026-10-01T00:00:00Z"
    assert correction["BillingPeriodEnd"] == "2026-11-01T00:00:00Z"
    assert correction["ChargePeriodStart"] == "2026-09-01T00:00:00Z"
    assert correction["ChargePeriodEnd"] == "2026-10-01T00:00:00Z"
    # 10 GB x 10 / 30 = 3.333333333333 GB-months; x 0.23, unrounded; 0.77 is booked.
    assert correction["PricingQuantity"] == "3.333333333333"
    assert correction["ContractedCost"] == "0.76666666666659"
    assert correction["BilledCost"] == correction["EffectiveCost"] == "0.77"
    assert (correction["SubAccountName"], correction["x_CostCentre"]) == ("vision", "4711")
    assert json.loads(correction["Tags"]) == {"cost_centre": "4711"}
    assert correction["ChargeDescription"] == "Storage of vision"


@pytest.mark.parametrize("form", ["focus-1.2", "focus-1.4"])
async def test_costs_are_exact_products_in_one_currency_and_add_up_to_the_total(
    october: Finance, charges: ChargesClient, form: str
) -> None:
    rows = parse(await charges(form, "2026-10"))

    for row in rows:
        product = Decimal(row["PricingQuantity"]) * Decimal(row["ContractedUnitPrice"])
        assert Decimal(row["ContractedCost"]) == Decimal(row["ListCost"]) == product
        assert all("." in row[name] for name in ("BilledCost", "PricingQuantity", "ListUnitPrice"))
    assert {row["BillingCurrency"] for row in rows} == {"EUR"}
    # Storage 2.30, its correction 0.77, a seat 24.99, a fee 100.00
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("128.06")
    assert {row["ChargeFrequency"] for row in rows} == {"Recurring", "Usage-Based"}
    assert ("ServiceProviderName" in rows[0]) == (form == "focus-1.4")
    assert ("ProviderName" in rows[0]) == (form == "focus-1.2")


async def test_only_a_closed_month_has_an_invoice(
    october: Finance, charges: ChargesClient
) -> None:
    assert {row["InvoiceId"] for row in parse(await charges("focus-1.2", "2026-10"))} == {""}

    await october.close(OCTOBER)

    assert {row["InvoiceId"] for row in parse(await charges("focus-1.2", "2026-10"))} == {
        "2026-10"
    }


async def test_the_provider_is_a_setting(
    october: Finance, database: Database, clock: FixedClock, admin_key: str
) -> None:
    settings = Settings.load(admin_user_list="root", focus_provider_name="ML platform")
    tags = []
    for each in (settings, Settings.load(admin_user_list="root")):
        async with create_client(database, each, clock) as client:
            response = await client.get(
                "/api/admin/chargeback/charges",
                params={"reportMonth": "2026-10", "format": "focus-1.2"},
                headers={"Authorization": admin_key},
            )
        tags.append(response.headers["etag"])
        names = {row["ProviderName"] for row in parse(response.content)}
        assert names == {each.focus_provider_name}

    assert tags[0] != tags[1]


async def test_publisher_and_issuer_are_the_provider(
    october: Finance, charges: ChargesClient
) -> None:
    for form, names in (
        ("focus-1.2", ("ProviderName", "PublisherName", "InvoiceIssuerName")),
        ("focus-1.4", ("ServiceProviderName", "InvoiceIssuerName")),
    ):
        rows = parse(await charges(form, "2026-10"))
        assert {row[name] for row in rows for name in names} == {"Chargeback"}


async def test_lines_of_workspaces_are_divided_among_their_projects(
    finance: Finance, feed: Feed, charges: ChargesClient
) -> None:
    await feed(
        experiment("a", "2026-09-02T00:00:00Z", 100),
        experiment("b", "2026-09-02T00:00:00Z", 30, project="old"),
        event("project.deleted", "2026-09-17T00:00:00Z", workspace="vision", name="old"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(FEE, "100.00")
    await finance.close(SEPTEMBER)

    rows = parse(await charges("focus-1.2", "2026-09"))

    names = ("ResourceType", "ResourceName", "SubAccountName", "PricingQuantity", "BilledCost")
    # 100 GB for 29 and 30 GB for 15 of 30 days at 0.20.
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("Fee", "Platform", "", "1.0", "100.00"),
        ("Project", "old", "vision", "15.0", "3.00"),
        ("Project", "seg", "vision", "96.666666666667", "19.33"),
    ]
    assert rows[1]["ResourceId"] == str(project_id("vision", "old"))


async def test_a_correction_is_divided_among_projects_too(
    october: Finance, feed: Feed, charges: ChargesClient
) -> None:
    await feed(experiment("later", "2026-09-21T00:00:00Z", 20, project="old", owner="bob"))

    rows = parse(await charges("focus-1.4", "2026-10"))

    # 20 GB and 10 GB for 10 of 30 days at 0.23: 1.533 and 0.767 of 2.30.
    assert [(row["ResourceName"], row["BilledCost"]) for row in rows if row["ChargeClass"]] == [
        ("old", "1.53"),
        ("seg", "0.77"),
    ]
