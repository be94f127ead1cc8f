"""What is in force in a month, and the corrections booked in it, in plain SQL and by name.

Verification reads these; computing charges reads `app/db/rate_card.py` and `app/db/charges.py`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.months import Month


class RateRow(NamedTuple):
    """A rate with the price in force in a month."""

    code: str
    measure: str
    split: str | None
    cost_centre: str | None
    price: Decimal


class AssignedRow(NamedTuple):
    """The cost centre of a workspace or user in a month."""

    kind: str
    name: str
    cost_centre: str


class BookedCorrectionRow(NamedTuple):
    """By how much a figure of an earlier month changes, booked in a month."""

    origin_month: Month
    booked_month: Month
    figure: str
    workspace: str | None
    username: str | None
    amount: Decimal


async def select_rates_in_force(
    tx: AsyncConnection, organization_id: UUID, month: Month
) -> Sequence[RateRow]:
    """Select the rates that have a price in a month."""
    found = await tx.execute(_SELECT_RATES, _parameters(organization_id, month))
    return [RateRow(*row) for row in found]


_SELECT_RATES = text("""
    SELECT rate.code, rate.measure, rate.split, rate.cost_centre, latest.amount
    FROM rate CROSS JOIN LATERAL (
        SELECT price.amount FROM price
        WHERE price.organization_id = :organization_id AND price.rate = rate.code
          AND price.from_month <= :month
        ORDER BY price.from_month DESC LIMIT 1
    ) AS latest
    WHERE rate.organization_id = :organization_id AND latest.amount IS NOT NULL
    ORDER BY rate.code
""")


async def select_assignments_in_force(
    tx: AsyncConnection, organization_id: UUID, month: Month
) -> Sequence[AssignedRow]:
    """Select the cost centres of workspaces and users in a month."""
    found = await tx.execute(_SELECT_ASSIGNMENTS, _parameters(organization_id, month))
    return [AssignedRow(*row) for row in found]


_SELECT_ASSIGNMENTS = text("""
    SELECT latest.kind, coalesce(workspace.name, platform_user.username), latest.cost_centre
    FROM (
        SELECT DISTINCT ON (kind, entity_id) kind, entity_id, cost_centre
        FROM assignment
        WHERE organization_id = :organization_id AND from_month <= :month
        ORDER BY kind, entity_id, from_month DESC
    ) AS latest
    LEFT JOIN workspace ON workspace.organization_id = :organization_id
        AND latest.kind = 'WORKSPACE' AND workspace.workspace_id = latest.entity_id
    LEFT JOIN platform_user ON platform_user.organization_id = :organization_id
        AND latest.kind = 'USER' AND platform_user.user_id = latest.entity_id
    WHERE latest.cost_centre IS NOT NULL
    ORDER BY latest.kind, latest.entity_id
""")


async def select_corrections_through(
    tx: AsyncConnection, organization_id: UUID, month: Month
) -> Sequence[BookedCorrectionRow]:
    """Select the corrections of the months that a month corrects, summed over projects.

    They are those that the month books, and those that earlier months booked; earliest first.
    """
    found = await tx.execute(_SELECT_CORRECTIONS, _parameters(organization_id, month))
    return [
        BookedCorrectionRow(Month.containing(origin), Month.containing(booked), *others)
        for origin, booked, *others in found
    ]


_SELECT_CORRECTIONS = text("""
    SELECT correction.origin_month, correction.booked_month, correction.figure, workspace.name,
           platform_user.username, sum(correction.amount)
    FROM correction
    LEFT JOIN workspace ON workspace.organization_id = :organization_id
        AND workspace.workspace_id = correction.workspace_id
    LEFT JOIN platform_user ON platform_user.organization_id = :organization_id
        AND platform_user.user_id = correction.user_id
    WHERE correction.organization_id = :organization_id AND correction.booked_month <= :month
      AND correction.origin_month IN (
        SELECT corrected.origin_month FROM correction AS corrected
        WHERE corrected.organization_id = :organization_id AND corrected.booked_month = :month
      )
    GROUP BY correction.origin_month, correction.booked_month, correction.figure, workspace.name,
             platform_user.username
    HAVING sum(correction.amount) <> 0
    ORDER BY correction.origin_month, correction.booked_month, correction.figure, workspace.name,
             platform_user.username
""")


async def select_service_account_names(
    tx: AsyncConnection, organization_id: UUID, month: Month
) -> set[tuple[str, bool]]:
    """Select the licensed users of a month, each with whether it is a service account."""
    found = await tx.execute(_SELECT_LICENSED, _parameters(organization_id, month))
    return {(row[0], row[1]) for row in found}


_SELECT_LICENSED = text("""
    SELECT username, service_account FROM user_month
    WHERE organization_id = :organization_id AND month = :month AND licensed
""")


async def select_charges_hash(
    tx: AsyncConnection, organization_id: UUID, month: Month
) -> str | None:
    """Return the hash of the charges that a month's close booked; None if it booked none."""
    found = await tx.execute(_SELECT_HASH, _parameters(organization_id, month))
    charges_hash: str | None = found.scalar_one_or_none()
    return charges_hash


_SELECT_HASH = text("""
    SELECT charges_hash FROM month_close
    WHERE organization_id = :organization_id AND month = :month
""")


def _parameters(organization_id: UUID, month: Month) -> dict[str, object]:
    return {"organization_id": organization_id, "month": month.first_day}
