"""Verify a month: compare rows and charges with a replay, and with the hashes of its close."""

import hashlib
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.month_closes import select_closes, select_rows_hash
from app.db.organizations import OrganizationRow, lock_organization
from app.domain.errors import InvalidMonth
from app.domain.months import Month
from app.ingest.corrected_rows import load_corrected_rows
from app.ingest.month_comparison import describe_differences
from app.ingest.month_rows import load_rows, replay_month_rows
from app.ingest.replay import MonthRows
from app.services.charge_verification import verify_closed_charges, verify_open_charges


class ComparedWith(Enum):
    """What a month was compared with."""

    EVENTS = auto()
    """An open month: all columns of its rows, and its charges, are compared with a replay of its
    events."""
    EVENTS_AND_CLOSE = auto()
    """A closed month: its figures and corrections are compared with a replay of its events, its
    charges with a replay of its rows, and both with the hashes stored at the close."""
    CLOSE = auto()
    """A month up to the last imported one: its rows are compared with the hash stored at the
    close. Events do not correct such a month, so they cannot confirm its figures."""


class MonthVerification(NamedTuple):
    """The result of verifying a month: one sentence per difference."""

    compared_with: ComparedWith
    differences: Sequence[str]


async def verify_month(
    database: Database, organization_id: UUID, month: Month
) -> MonthVerification:
    """Compare a month with a replay of all events, and a closed month with its hash.

    Raises:
        InvalidMonth: The month is after the last event.
    """
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        if organization.closed_through is None or organization.closed_through < month:
            _require_rows(organization, month)
            expected = await _replay_rows(tx, organization, month)
            rows = await load_rows(tx, organization_id, month)
            found = [*describe_differences(expected, rows, figures_only=False)]
            found += await verify_open_charges(tx, organization_id, month, expected)
            return MonthVerification(ComparedWith.EVENTS, found)
        changes = await _find_changes_since_close(tx, organization_id, month)
        changes += await verify_closed_charges(tx, organization_id, month)
        if organization.imported_through is not None and month <= organization.imported_through:
            return MonthVerification(ComparedWith.CLOSE, changes)
        expected = await _replay_rows(tx, organization, month)
        rows = await load_corrected_rows(tx, organization_id, month)
        found = [*describe_differences(expected, rows, figures_only=True)]
        return MonthVerification(ComparedWith.EVENTS_AND_CLOSE, found + changes)


async def _find_changes_since_close(
    tx: Transaction, organization_id: UUID, month: Month
) -> list[str]:
    """Compare the month's hash with the one stored at its close.

    Months before the first close have no stored hash: they are closed and have no rows.
    """
    closes = {row.month: row.rows_hash for row in await select_closes(tx, organization_id)}
    rows_hash = await select_rows_hash(tx, organization_id, month)
    if rows_hash == closes.get(month, _HASH_OF_NO_ROWS):
        return []
    return ["rows changed after the month was closed"]


_HASH_OF_NO_ROWS = hashlib.sha256().hexdigest()


async def _replay_rows(tx: Transaction, organization: OrganizationRow, month: Month) -> MonthRows:
    """Replay the month; it is empty if it is before the first event."""
    first_event_at = organization.first_event_at
    if first_event_at is None or first_event_at >= month.end:
        return MonthRows.empty()
    return await replay_month_rows(tx, organization.organization_id, month)


def _require_rows(organization: OrganizationRow, month: Month) -> None:
    """Reject a month after the last event: it has no rows, as reports carry stocks forward."""
    last_month = organization.last_month
    if last_month is None:
        raise InvalidMonth(f"{month} cannot be verified: the organization has no events.")
    if month > last_month:
        raise InvalidMonth(
            f"{month} cannot be verified: the last month with events is {last_month}."
        )
