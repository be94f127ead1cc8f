"""Months: closed so that their reports never change again, opened again, and checked."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.month_closes import (
    delete_close,
    delete_corrections,
    insert_closes,
    select_acts,
    select_closes,
    select_rows_hash,
    update_closed_through,
)
from app.db.months import carry_forward
from app.db.organizations import (
    lock_organization,
    lower_first_month,
    select_organization_by_id,
    select_organizations,
)
from app.domain.audit import Action, Actor, AuditEvent, Channel
from app.domain.errors import InvalidArgument, InvalidMonth, MonthBeforeCutover, MonthNotClosed
from app.domain.events import NUL
from app.domain.months import Month
from app.ingest.rebuild import (
    corrected_rows,
    differences,
    replace_rows,
    replayed_rows,
    stored_rows,
)
from app.ingest.replay import MonthRows
from app.services.audit import append_audit_event

MONTH_CLOSE_BY_ITSELF = "MONTH_CLOSE_AFTER_DAYS"
"""Who closed a month that nobody closed by hand."""


class MonthState(NamedTuple):
    """A month of an organization: open, or closed by somebody at some time."""

    month: Month
    closed_at: datetime | None
    closed_by: str | None
    rows_hash: str | None
    imported_from: str | None = None


async def list_months(
    database: Database, organization_id: UUID, now: datetime
) -> Sequence[MonthState]:
    """The months from the organization's first event to now, the latest first."""
    async with database.transaction(organization_id) as tx:
        organization = await select_organization_by_id(tx, organization_id)
        closes = {row.month: row for row in await select_closes(tx, organization_id)}
    known = [day for day in (organization.first_month, *closes) if day is not None]
    if not known:
        return []
    months = Month.containing(min(known)).through(Month.containing(now))
    return [_state(month, closes.get(month.first_day)) for month in reversed(list(months))]


def _state(month: Month, close: Any) -> MonthState:
    if close is None:
        return MonthState(month, None, None, None)
    return MonthState(
        month, close.closed_at, close.closed_by, close.rows_hash, close.imported_from
    )


async def list_acts(database: Database, organization_id: UUID) -> Sequence[Any]:
    """Every closing and reopening, the latest first."""
    async with database.transaction(organization_id) as tx:
        return await select_acts(tx, organization_id)


async def close_month(
    database: Database, organization_id: UUID, month: Month, *, by: Actor, now: datetime
) -> Sequence[Month]:
    """Close a month, and each earlier one that is open; one that is closed stays so.

    Returns:
        The months that this closed, in order.

    Raises:
        InvalidMonth: The month has not ended.
    """
    if month.end > now:
        raise InvalidMonth(f"{month} cannot be closed before it ends, at {month.end:%Y-%m-%d}.")
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        closing = months_to_close(organization, month)
        if closing:
            last_month = await _rows_through(tx, organization, month)
            days = [each.first_day for each in closing]
            await insert_closes(tx, organization_id, days, username=_name(by), now=now)
            await update_closed_through(tx, organization_id, month.first_day, last_month)
        for each in closing:
            await append_audit_event(
                tx, by, AuditEvent(organization_id, Action.MONTH_CLOSED, str(each)), now
            )
    return closing


def _name(by: Actor) -> str:
    return by.username or ""


def months_to_close(organization: Any, month: Month) -> list[Month]:
    """The open months that closing this one closes, in order; the organization as it is stored."""
    if organization.closed_through is not None:
        first = Month.containing(organization.closed_through).plus(1)
    elif organization.first_month is not None:
        first = min(Month.containing(organization.first_month), month)
    else:
        first = month
    return list(first.through(month))


async def _rows_through(tx: Transaction, organization: Any, month: Month) -> Any:
    """A closed month has rows of its own, so that later facts have none of its to change."""
    if organization.last_month is None:
        return None
    last = Month.containing(organization.last_month)
    if opened := list(last.plus(1).through(month)):
        await carry_forward(tx, organization.organization_id, last, opened)
    return max(last, month).first_day


async def close_due_months(
    database: Database, *, after_days: int, now: datetime
) -> Sequence[tuple[str, Month]]:
    """Close, in every organization, the months that ended so many days ago.

    Several processes may do so at a time: each month is closed once.
    """
    due = Month.containing(now - timedelta(days=after_days)).plus(-1)
    async with database.unscoped_read() as tx:
        organizations = await select_organizations(tx)
    closed: list[tuple[str, Month]] = []
    for organization in organizations:
        if organization.first_month is not None and organization.first_month <= due.first_day:
            months = await close_month(
                database,
                organization.organization_id,
                due,
                by=Actor(MONTH_CLOSE_BY_ITSELF, Channel.SERVICE),
                now=now,
            )
            closed += [(organization.name, month) for month in months]
    return closed


async def reopen_month(
    database: Database,
    organization_id: UUID,
    month: Month,
    *,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Open the latest closed month again, with what came late for it; leaves a trace.

    The first month that was closed had closed each one before it too: they open with it.

    Raises:
        InvalidArgument: No reason is given.
        MonthBeforeCutover: Live sources have taken over since.
        MonthNotClosed: It is open, or a later month is closed.
    """
    if not reason.strip() or NUL in reason:
        raise InvalidArgument("reason: say why the month is opened again.")
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        if organization.closed_through != month.first_day:
            raise MonthNotClosed(_why_not(organization, month))
        if _is_handed_over(organization, month):
            raise MonthBeforeCutover(
                f"{month} stays what its imported report states: live sources have taken over "
                f"since, and what they say of {month} is the same once more."
            )
        closes = [row.month for row in await select_closes(tx, organization_id)]
        earlier = max((day for day in closes if day < month.first_day), default=None)
        await delete_close(
            tx, organization_id, month.first_day, username=_name(by), reason=reason, now=now
        )
        act = AuditEvent(organization_id, Action.MONTH_REOPENED, str(month), {"reason": reason})
        await append_audit_event(tx, by, act, now)
        await update_closed_through(tx, organization_id, earlier, organization.last_month)
        if organization.first_event_at is not None:
            begin = Month.containing(organization.first_event_at)
            first = min(month, begin) if earlier is None else month
            await delete_corrections(tx, organization_id, first.first_day, month.first_day)
            await write_open(tx, organization_id, list(max(first, begin).through(month)))


async def write_open(tx: Transaction, organization_id: UUID, months: Sequence[Month]) -> None:
    """Work out the rows of these open months, in order, anew from all raw events."""
    for month in months:
        rows = await replayed_rows(tx, organization_id, month)
        await replace_rows(tx, organization_id, month, rows)
    if months:
        await lower_first_month(tx, organization_id, months[0].first_day)


def _is_handed_over(organization: Any, month: Month) -> bool:
    return organization.hand_over is not None and month.first_day < organization.hand_over


def _why_not(organization: Any, month: Month) -> str:
    closed_through = organization.closed_through
    if closed_through is None or closed_through < month.first_day:
        return f"{month} is open."
    latest = Month.containing(closed_through)
    return f"{month} cannot be opened before {latest}, the latest closed month."


class Compared(Enum):
    """What a month was compared with."""

    EVENTS = auto()
    """An open month: all that its rows say, with what all raw events say."""
    EVENTS_AND_CLOSE = auto()
    """A closed month: its figures with their corrections, with what all raw events say; and its
    rows, with their hash of the close."""
    CLOSE = auto()
    """A month before the hand-over to live sources: its rows, with their hash of the close. What
    events say of it is something else."""


class Verified(NamedTuple):
    """What a month was compared with, and each difference in words; none when it is right."""

    compared: Compared
    differences: Sequence[str]


async def verify_month(database: Database, organization_id: UUID, month: Month) -> Verified:
    """Compare a month with what all raw events say by the slow route, as far as it follows them.

    Raises:
        InvalidMonth: Neither it nor any later month has events.
    """
    async with database.transaction(organization_id) as tx:
        organization = await lock_organization(tx, organization_id)
        if organization.closed_through is None or organization.closed_through < month.first_day:
            _insist_on_rows(organization, month)
            expected = await _expected_rows(tx, organization, month)
            rows = await stored_rows(tx, organization_id, month)
            found = differences(expected, rows, figures_only=False)
            return Verified(Compared.EVENTS, list(found))
        changed = await _changed_since_close(tx, organization_id, month)
        if _is_handed_over(organization, month):
            return Verified(Compared.CLOSE, changed)
        expected = await _expected_rows(tx, organization, month)
        rows = await corrected_rows(tx, organization_id, month)
        found = differences(expected, rows, figures_only=True)
        return Verified(Compared.EVENTS_AND_CLOSE, [*found, *changed])


async def _changed_since_close(
    tx: Transaction, organization_id: UUID, month: Month
) -> Sequence[str]:
    """A month before the first that was closed has no hash: it is closed, and has no rows."""
    closes = {row.month: row.rows_hash for row in await select_closes(tx, organization_id)}
    rows_hash = await select_rows_hash(tx, organization_id, month.first_day)
    if rows_hash == closes.get(month.first_day, _HASH_OF_NO_ROWS):
        return []
    return ["rows changed after the month was closed"]


_HASH_OF_NO_ROWS = hashlib.sha256().hexdigest()


async def _expected_rows(tx: Transaction, organization: Any, month: Month) -> MonthRows:
    """By the raw events; a month before the first of them is empty."""
    first_event_at = organization.first_event_at
    if first_event_at is None or first_event_at >= month.end:
        return MonthRows.empty()
    return await replayed_rows(tx, organization.organization_id, month)


def _insist_on_rows(organization: Any, month: Month) -> None:
    """Months after the last event have no rows to be wrong: their reports carry its stocks."""
    if organization.last_month is None or month.first_day > organization.last_month:
        raise InvalidMonth(
            f"{month} has no events, nor has any later month: verify an earlier one."
        )
