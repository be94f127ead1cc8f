"""Late memberships change who pays for a user in a closed month."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.months import Month
from app.domain.rates import Measure, Rate
from app.services.month_verification import verify_month
from tests.charges.conftest import OCTOBER, OWN, SEAT, SEPTEMBER, Finance
from tests.charges.test_worked_examples import user
from tests.conftest import Feed, event

SDK = Rate("sdk", "SDK uses", Measure.SDK_USES)
NOVEMBER = OCTOBER.plus(1)


def joined(workspace: str) -> bytes:
    return event("member.added", "2026-09-20T00:00:00Z", workspace=workspace, username="dee")


def left(workspace: str) -> bytes:
    return event("member.removed", "2026-09-25T00:00:00Z", workspace=workspace, username="dee")


def used(count: int) -> bytes:
    return event(
        "usage.recorded", "2026-09-21T00:00:00Z", username="dee", channel="sdk", count=count
    )


@pytest.fixture
async def dee(finance: Finance, feed: Feed) -> Finance:
    """September, closed: dee is a member of vision (4711). crm belongs to 4712."""
    await feed(
        user("dee"),
        *(event("workspace.upserted", "2026-09-01T00:00:00Z", name=name)
          for name in ("vision", "crm")),
        event("member.added", "2026-09-02T00:00:00Z", workspace="vision", username="dee"),
    )  # fmt: skip
    await finance.charge(SEAT, "24.99")
    await finance.charge(SDK, "0.01")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("crm", "4712")
    await finance.close(SEPTEMBER)
    return finance


async def late(finance: Finance, month: Month) -> list[tuple[Any, ...]]:
    """Return the lines that correct September: rate, payer, workspace, quantity, amount."""
    charges = await finance.charges(month)
    assert (await verify_month(finance.database, OWN, month)).differences == []
    return [
        tuple(each[name] for name in ("rate", "costCentre", "workspace", "quantity", "amount"))
        for each in charges["lines"]
        if each["originMonth"] == "2026-09"
    ]


async def test_a_late_membership_moves_half_of_the_seat(dee: Finance, feed: Feed) -> None:
    await feed(joined("crm"))

    # 24.99 were charged to 4711. With both memberships it is 12.50 and 12.49.
    assert await late(dee, OCTOBER) == [
        ("seat", "4711", "vision", "-0.5", "-12.49"),
        ("seat", "4712", "crm", "0.5", "12.49"),
    ]


async def test_late_uses_are_shared_by_memberships_that_an_earlier_month_corrected(
    dee: Finance, feed: Feed
) -> None:
    await feed(joined("crm"))
    await dee.close(OCTOBER)
    await feed(used(500))

    # Two memberships since October's correction: 250 uses each.
    assert await late(dee, NOVEMBER) == [
        ("sdk", "4711", "vision", "250", "2.50"),
        ("sdk", "4712", "crm", "250", "2.50"),
    ]


async def test_a_membership_corrected_away_moves_uses_that_were_booked_before(
    dee: Finance, feed: Feed
) -> None:
    await feed(joined("crm"), used(500))
    await dee.close(OCTOBER)
    await feed(left("vision"))

    # By now vision is charged half a seat and 250 uses, which crm pays as well.
    assert await late(dee, NOVEMBER) == [
        ("sdk", "4711", "vision", "-250", "-2.50"),
        ("sdk", "4712", "crm", "250", "2.50"),
        ("seat", "4711", "vision", "-0.5", "-12.49"),
        ("seat", "4712", "crm", "0.5", "12.49"),
    ]


async def test_a_membership_that_came_and_went_late_changes_nothing(
    dee: Finance, feed: Feed
) -> None:
    await feed(joined("crm"))
    await feed(left("crm"))

    assert await late(dee, OCTOBER) == []


async def test_a_licence_that_proves_void_is_taken_back_from_who_was_charged(
    dee: Finance, feed: Feed
) -> None:
    await feed(user("eve"))
    booked = await dee.charges(OCTOBER)
    await dee.close(OCTOBER)
    await feed(
        event("user.deleted", "2026-08-31T00:00:00Z", username="eve"),
        event("user.upserted", "2026-11-02T00:00:00Z", username="eve", serviceAccount=True),
    )

    assert ("eve", "24.99") in seats(booked)
    # The seat is refunded as a seat, although eve is a service account by now.
    assert await late(dee, NOVEMBER) == [("seat", None, None, "-1", "-24.99")]


def seats(charges: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {
        (each["userName"], each["amount"]) for each in charges["lines"] if each["rate"] == "seat"
    }
