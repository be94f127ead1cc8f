"""`months verify` replays the charges of a month by a second method and compares each line."""

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.months import Month
from app.domain.rates import Measure, Rate, Split
from app.services.month_verification import verify_month
from tests.charges.conftest import (
    FEE,
    OCTOBER,
    OWN,
    SEAT,
    SEPTEMBER,
    STORAGE,
    Finance,
)
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, event

SDK = Rate("sdk", "SDK uses", Measure.SDK_USES)
SUPPORT = Rate("support", "Support", Measure.FEE, Split.EVEN)
LICENCE = Rate("licence", "Licence", Measure.FEE, None, "4713")
CREATED = Rate("created", "Experiments", Measure.EXPERIMENTS_CREATED)


@pytest.fixture
async def busy(finance: Finance, feed: Feed) -> Finance:
    """Every measure but one, users who share a seat, Unassigned, and three kinds of fees."""
    await feed(
        experiment("v", "2026-09-03T07:00:00Z", 7, workspace="vision", owner="ann"),
        experiment("w", "2026-09-05T00:00:01Z", 11, workspace="vision", project="old"),
        experiment("c", "2026-09-20T00:00:00Z", 13, workspace="crm", owner="bob"),
        experiment("p", "2026-09-21T00:00:00Z", 17, workspace="pilot", owner="cy"),
        event("project.deleted", "2026-09-17T00:00:00Z", workspace="vision", name="old"),
        *(user(name) for name in ("ann", "bob", "cy", "dee")),
        user("ci-bot", service_account=True),
        *(
            event("member.added", "2026-09-02T00:00:00Z", workspace=name, username="dee")
            for name in ("vision", "crm", "pilot")
        ),
        *(
            event("usage.recorded", "2026-09-09T00:00:00Z", username=name, channel="sdk", count=n)
            for name, n in (("ann", 7), ("dee", 10))
        ),
    )
    for rate, price in (
        *((STORAGE, "0.23"), (SEAT, "24.99"), (SDK, "0.0031"), (CREATED, "0.05")),
        *((FEE, "1000"), (SUPPORT, "100"), (LICENCE, "49.90")),
    ):
        await finance.charge(rate, price)
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("crm", "4712")
    await finance.assign_workspace("vision", "4713", OCTOBER)
    await finance.assign_user("ann", "4711")
    return finance


async def differences(finance: Finance, month: Month) -> list[str]:
    return list((await verify_month(finance.database, OWN, month)).differences)


async def test_charges_of_open_and_closed_months_and_corrections_are_verified(
    busy: Finance, feed: Feed
) -> None:
    assert await differences(busy, SEPTEMBER) == []
    await busy.close(SEPTEMBER)
    await feed(
        experiment("late", "2026-09-16T00:00:00Z", 30, workspace="vision", owner="dee"),
        event("experiment.deleted", "2026-09-25T00:00:00Z", experiment="c"),
        user("eve", "2026-09-30T00:00:00Z"),
        event("member.added", "2026-09-30T00:00:00Z", workspace="crm", username="eve"),
        event("usage.recorded", "2026-09-30T00:00:00Z", username="dee", channel="sdk", count=5),
        event("workspace.upserted", "2026-10-02T00:00:00Z", name="new"),
    )

    assert await differences(busy, SEPTEMBER) == []
    assert await differences(busy, OCTOBER) == []
    await busy.close(OCTOBER)
    assert await differences(busy, OCTOBER) == []
    charges = await busy.charges(OCTOBER)
    late = [each for each in charges["lines"] if each["originMonth"]]
    assert {each["rate"] for each in late} == {"storage", "seat", "sdk", "created"}
    assert len({each["costCentre"] for each in late}) == 3


async def test_a_closed_fee_stays_verified_after_a_later_change_of_its_split(
    busy: Finance,
) -> None:
    await busy.close(SEPTEMBER)
    await busy.rate(FEE._replace(split=Split.EVEN))

    assert await differences(busy, SEPTEMBER) == []


async def execute(database: Database, statement: str) -> None:
    async with database.owner_transaction() as tx:
        await tx.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        (
            "UPDATE charge SET booked = booked + 1 WHERE rate = 'storage' AND workspace = 'crm'",
            "charge line 'storage' of 'crm' for 4712: booked is 111, and should be 110",
        ),
        (
            "UPDATE charge SET price = 0.3 WHERE rate = 'storage' AND workspace = 'crm'",
            (
                "charge line 'storage' of 'crm' for 4712: price is 0.3000000000, "
                "and should be 0.2300000000"
            ),
        ),
        (
            "DELETE FROM charge WHERE rate = 'seat' AND username = 'dee' AND workspace = 'crm'",
            "charge line 'seat' of 'dee as a member of crm' for 4712 is missing",
        ),
        (
            (
                "UPDATE charge SET cost_centre = '4711', cost_centre_name = 'Research' "
                "WHERE rate = 'licence'"
            ),
            "charges changed after the month was closed",
        ),
    ],
)
async def test_a_line_that_was_changed_is_named(
    busy: Finance, statement: str, difference: str
) -> None:
    await busy.close(SEPTEMBER)
    await execute(busy.database, statement)

    found = await differences(busy, SEPTEMBER)

    # 13 GB for 11 of 30 days at 0.23 are 1.0963...
    assert difference in found
    assert found[-1] == "charges changed after the month was closed"
