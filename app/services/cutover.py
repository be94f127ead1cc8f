"""From imported reports to live sources: the month from which on these tell everything (ADR 0038).

What was handed over may be taken back, as if it had never been: nothing else tells what it told.
"""

from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from app.clock import Clock
from app.connectors.reports.changes import (
    ENDED_BY_HAND_OVER,
    SOURCE,
    Cells,
    CellsTold,
    ended,
)
from app.db.corrections import add_corrections, delete_corrections_from_later
from app.db.cutover import delete_facts, has_other_facts
from app.db.engine import Transaction
from app.db.events import stream_experiments_of_source
from app.db.month_closes import select_closes
from app.db.organizations import lock_organization, update_cutover_month
from app.domain.audit import Action, Actor, AuditEvent
from app.domain.errors import InvalidMonth
from app.domain.months import Month
from app.ingest.reconcile import compute_missing_corrections
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.audit import append_audit_event
from app.services.file_import import store_lines
from app.services.months import recompute_open_months


async def hand_over_to_live(
    tx: Transaction, organization_id: UUID, month: Month, clock: Clock, by: Actor
) -> IngestResult:
    """What live sources say counts from this month on, and nothing else does.

    The imported experiments end, and the months before stay as they are stated, whatever live
    sources say of them.

    Raises:
        InvalidMonth: It is not the month after the last report, or closed.
    """
    organization = await lock_organization(tx, organization_id)
    last = await _last_reported(tx, organization)
    if last is None or month != last.plus(1) or organization.closed_through != last:
        after = "there is none" if last is None else f"the last is of {last}"
        raise InvalidMonth(
            f"--hand-over: must be the month after the last imported report, with no month closed "
            f"after it; got {month}, and {after}."
        )
    lines = ended(await cells_told(tx, organization_id, last), month.start)
    chunks = iter(lambda: list(islice(lines, CHUNK_SIZE)), [])
    await update_cutover_month(tx, organization_id, month)
    await delete_corrections_from_later(tx, organization_id, month)
    if organization.cutover_month != month:
        await append_audit_event(
            tx, by, AuditEvent(organization_id, Action.HANDED_OVER, str(month)), clock()
        )
    return await store_lines(tx, organization_id, chunks, clock())


async def _last_reported(tx: Transaction, organization: Any) -> Month | None:
    closes = await select_closes(tx, organization.organization_id)
    reported = [row.month for row in closes if row.imported_sha256 is not None]
    return max(reported, default=None)


async def cells_told(tx: Transaction, organization_id: UUID, month: Month) -> Cells:
    """The imported experiments at a month's end, by what was told of them so far."""
    told = CellsTold()
    async for fact in stream_experiments_of_source(tx, organization_id, SOURCE, month.end):
        told.take(fact.type, fact.data)
    return told.cells()


async def withdraw_hand_over(
    tx: Transaction, organization_id: UUID, month: Month, clock: Clock, by: Actor
) -> None:
    """The imported experiments go on, and what is known later corrects the months before again.

    Raises:
        InvalidMonth: Nothing was handed over in that month, or it is closed.
    """
    organization = await lock_organization(tx, organization_id)
    _insist_on_hand_over(organization, month)
    pattern = ENDED_BY_HAND_OVER.format(name="%", at=month.start)
    await delete_facts(tx, organization_id, SOURCE, "experiment.deleted", pattern)
    await update_cutover_month(tx, organization_id, None)
    if organization.last_month is not None:
        last = organization.last_month
        await recompute_open_months(tx, organization_id, list(month.through(last)))
    if organization.first_event_at is not None:
        await _book_what_came_since(tx, organization_id, organization.first_event_at, month)
    await append_audit_event(
        tx, by, AuditEvent(organization_id, Action.HAND_OVER_WITHDRAWN, str(month)), clock()
    )


def _insist_on_hand_over(organization: Any, month: Month) -> None:
    if organization.cutover_month != month:
        of = "there is none"
        if organization.cutover_month is not None:
            of = f"live sources took over from {organization.cutover_month} on"
        raise InvalidMonth(
            f"--withdraw-hand-over: must be the month of the hand-over; got {month}, and {of}."
        )
    if organization.closed_through >= month:
        closed = organization.closed_through
        raise InvalidMonth(
            f"--withdraw-hand-over: {closed} is closed, and rests on it: open it again first "
            f"(chargeback months reopen {closed})."
        )


async def _book_what_came_since(
    tx: Transaction, organization_id: UUID, first_event_at: datetime, month: Month
) -> None:
    """What live sources say of the months before, which was nobody's business until now."""
    if await has_other_facts(tx, organization_id, SOURCE, month.start):
        for each in Month.containing(first_event_at).through(month.plus(-1)):
            if rows := await compute_missing_corrections(tx, organization_id, each):
                await add_corrections(tx, organization_id, month, rows)
