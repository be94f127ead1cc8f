"""Months: list, close and reopen them. The report of a closed month never changes."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from app.db.corrections import delete_corrections
from app.db.engine import Database, Transaction
from app.db.feed import select_latest_arrival
from app.db.month_closes import (
    MonthCloseHistoryRow,
    MonthCloseRow,
    delete_close,
    insert_closes,
    select_close_history,
    select_closes,
)
from app.db.months import carry_forward
from app.db.organizations import (
    OrganizationRow,
    lock_organization,
    select_organization_by_id,
    select_organizations,
    update_closed_through,
    update_reopened_months,
)
from app.domain.audit import Action, Actor, AuditEvent, Interface
from app.domain.errors import ClosesOtherMonths, InvalidArgument, InvalidMonth, MonthNotClosed
from app.domain.months import Month
from app.domain.text import NUL
from app.ingest.month_rows import replace_rows, replay_month_rows
from app.ingest.replay import MonthRows
from app.services.audit import append_audit_event
from app.services.charges import book_charges

AUTOMATIC_CLOSE_ACTOR = "MONTH_CLOSE_AFTER_DAYS"
"""The name under which the service closes months automatically."""


class MonthState(NamedTuple):
    """A month of an organization. `closed_at`, `closed_by` and `rows_hash` are None while open."""

    month: Month
    closed_at: datetime | None
    closed_by: str | None
    rows_hash: str | None
    imported_from: str | None = None


async def list_months(
    database: Database, organization_id: UUID, now: datetime
) -> Sequence[MonthState]:
    """Return the months from the organization's first event to now, the latest first."""
    async with database.transaction(organization_id) as tx:
        organization = await select_organization_by_id(tx, organization_id)
        closes = {row.month: row for row in await select_closes(tx, organization_id)}
    known = [month for month in (organization.first_month, *closes) if month is not None]
    if not known:
        return []
    months = min(known).through(Month.containing(now))
    return [_to_state(month, closes.get(month)) for month in reversed(list(months))]


def _to_state(month: Month, close: MonthCloseRow | None) -> MonthState:
    if close is None:
        return MonthState(month, None, None, None)
    return MonthState(
        month, close.closed_at, close.closed_by, close.rows_hash, close.imported_from
    )


async def list_close_history(
    database: Database, organization_id: UUID
) -> Sequence[MonthCloseHistoryRow]:
    """Return every close and reopening, the latest first."""
    async with database.transaction(organization_id) as tx:
        return await select_close_history(tx, organization_id)


async def find_months_to_close(
    database: Database, organization_id: UUID, month: Month, now: datetime
) -> Sequence[Month]:
    """Return the months that closing this one would close, in order; none if it is closed.

    Raises:
        InvalidMonth: The month has not ended.
    """
    _require_ended(month, now)
    async with database.transaction(organization_id) as tx:
        return months_to_close(await select_organization_by_id(tx, organization_id), month)


async def close_month(
    database: Database,
    organization_id: UUID,
    month: Month,
    *,
    expected: Collection[Month] | None = None,
    by: Actor,
    now: datetime,
) -> Sequence[Month]:
    """Close a month and each earlier open month. Closing a closed month is not an error.

    Args:
        database: The store.
        organization_id: The organization.
        month: The last month to close.
        expected: The months that may be closed; None for any.
        by: Who closes them.
        now: The current time.

    Returns:
        The months that this closed, in order.

    Raises:
        ClosesOtherMonths: A month to close is not expected; nothing was closed.
        InvalidMonth: The month has not ended.
    """
    _require_ended(month, now)
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        closing = months_to_close(organization, month)
        if expected is not None and not set(closing) <= set(expected):
            raise ClosesOtherMonths(
                f"{describe_closing(closing)} Nothing was closed. Name every month that is "
                "expected to close, or close the earliest first."
            )
        if closing:
            last_month = await _create_rows_through(tx, organization, month)
            await insert_closes(tx, organization_id, closing, username=by.username or "", now=now)
            await update_closed_through(tx, organization_id, month, last_month)
            await book_charges(tx, organization_id, closing)
        for each in closing:
            await append_audit_event(
                tx, by, AuditEvent(organization_id, Action.MONTH_CLOSED, str(each)), now
            )
    return closing


def _require_ended(month: Month, now: datetime) -> None:
    if month.end > now:
        raise InvalidMonth(f"{month} cannot be closed before it ends, at {month.end:%Y-%m-%d}.")


def describe_closing(closing: Sequence[Month]) -> str:
    """Return a sentence about consecutive months that would close."""
    *earlier, month = closing
    if not earlier:
        return f"This closes {month}."
    if len(earlier) == 1:
        return f"Closing {month} also closes {earlier[0]}."
    span = f"{earlier[0]} to {earlier[-1]}"
    return f"Closing {month} also closes {len(earlier)} earlier months, {span}."


def months_to_close(organization: OrganizationRow, month: Month) -> list[Month]:
    """Return the open months that closing this one would close, in order."""
    if organization.closed_through is not None:
        first = organization.closed_through.plus(1)
    elif organization.first_month is not None:
        first = min(organization.first_month, month)
    else:
        first = month
    return list(first.through(month))


async def _create_rows_through(
    tx: Transaction, organization: OrganizationRow, month: Month
) -> Month | None:
    """Create the month's rows before it closes, so that later events cannot change its stocks."""
    if organization.last_month is None:
        return None
    last = organization.last_month
    if new_months := list(last.plus(1).through(month)):
        await carry_forward(tx, organization.organization_id, last, new_months)
    return max(last, month)


async def close_due_months(
    database: Database,
    *,
    after_days: int,
    now: datetime,
    on_failure: Callable[[str, Exception], None],
) -> Sequence[tuple[str, Month]]:
    """Close, in every organization, the months that ended at least that many days ago.

    A month closes only after something has arrived that is later than its end: a clock that is
    ahead must not close the future. Several processes may run this concurrently; each month is
    closed once.

    Args:
        database: The store.
        after_days: How many days ago a month must have ended.
        now: The current time.
        on_failure: Called with the name of an organization whose months could not be closed, and
            the error. The other organizations' months close.
    """
    due = Month.containing(now - timedelta(days=after_days)).plus(-1)
    async with database.unscoped_read() as tx:
        organizations = await select_organizations(tx)
    closed: list[tuple[str, Month]] = []
    for organization in organizations:
        try:
            months = await _close_due(database, organization, due, now)
        except Exception as error:
            on_failure(organization.name, error)
        else:
            closed += [(organization.name, month) for month in months]
    return closed


async def _close_due(
    database: Database, organization: OrganizationRow, due: Month, now: datetime
) -> Sequence[Month]:
    first, organization_id = _first_event_month(organization), organization.organization_id
    closed_through = organization.closed_through
    if first is None or first > due or (closed_through is not None and closed_through >= due):
        return []
    async with database.transaction(organization_id) as tx:
        arrived_at = await select_latest_arrival(tx, organization_id)
    last = due if arrived_at is None else min(due, Month.containing(arrived_at).plus(-1))
    if last < first or (closed_through is not None and closed_through >= last):
        return []  # Closing would wait for the lock of the organization, and close nothing.
    by = Actor(AUTOMATIC_CLOSE_ACTOR, Interface.SERVICE)
    return await close_month(database, organization_id, last, by=by, now=now)


async def reopen_month(
    database: Database,
    organization_id: UUID,
    month: Month,
    *,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Reopen the latest closed month and apply its corrections; the reopening is audited.

    Reopening a month that an imported report states also reopens the months without a report that
    closed with it. The rows of reopened months follow from their events.

    Raises:
        InvalidArgument: The reason is empty.
        MonthNotClosed: The month is open, or a later one is closed.
    """
    if not reason.strip() or NUL in reason:
        raise InvalidArgument("reason: state why the month is reopened.")
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        if organization.closed_through != month:
            raise MonthNotClosed(_explain_why_not_reopenable(organization, month))
        closes = await select_closes(tx, organization_id)
        reopening = _find_months_closed_with_latest(closes)
        for each in reopening:
            await delete_close(
                tx, organization_id, each, username=by.username or "", reason=reason, now=now
            )
            act = AuditEvent(organization_id, Action.MONTH_REOPENED, str(each), {"reason": reason})
            await append_audit_event(tx, by, act, now)
        await _restore_open_months(tx, organization, closes[: -len(reopening)], reopening)


def _find_months_closed_with_latest(closes: Sequence[MonthCloseRow]) -> list[Month]:
    """Return the latest closed month and, if it is imported, the gaps that closed with it."""
    *earlier, latest = closes
    if latest.imported_sha256 is None:
        return [latest.month]
    gaps = takewhile(lambda close: close.imported_sha256 is None, reversed(earlier))
    return [*reversed([close.month for close in gaps]), latest.month]


async def _restore_open_months(
    tx: Transaction,
    organization: OrganizationRow,
    still_closed: Sequence[MonthCloseRow],
    reopened: Sequence[Month],
) -> None:
    """Recompute the rows of reopened months from all events, and the organization's months.

    The first close also closed all months before it, so its reopening opens them too.
    """
    organization_id, last = organization.organization_id, reopened[-1]
    first, begin = reopened[0], _first_event_month(organization)
    closed_through = still_closed[-1].month if still_closed else None
    if closed_through is None and begin is not None:
        first = min(first, begin)
    await delete_corrections(tx, organization_id, first, last)
    for month in first.through(last):
        rows = MonthRows.empty()
        if begin is not None and begin <= month:
            rows = await replay_month_rows(tx, organization_id, month)
        await replace_rows(tx, organization_id, month, rows)
    first_month, last_month = organization.first_month, organization.last_month
    if closed_through is None:
        first_month, last_month = begin, last_month if begin else None
    elif first_month is not None:
        first_month = min(first_month, max(first, begin or first))
    imported = (close.month for close in still_closed if close.imported_sha256 is not None)
    await update_reopened_months(
        tx,
        organization_id,
        first_month=first_month,
        last_month=last_month,
        closed_through=closed_through,
        imported_through=max(imported, default=None),
    )


def _first_event_month(organization: OrganizationRow) -> Month | None:
    first_event_at = organization.first_event_at
    return None if first_event_at is None else Month.containing(first_event_at)


def _explain_why_not_reopenable(organization: OrganizationRow, month: Month) -> str:
    closed_through = organization.closed_through
    if closed_through is None or closed_through < month:
        return f"{month} is open."
    return f"{month} cannot be reopened before {closed_through}, the latest closed month."
