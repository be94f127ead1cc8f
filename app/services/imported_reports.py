"""Reports of another service become closed months, and events from which the next ones go on."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, pairwise
from typing import NamedTuple
from uuid import UUID

from app.clock import Clock
from app.connectors.reports.changes import Changes
from app.connectors.reports.document import OpenReport, Report
from app.connectors.reports.stated import write_as_stated
from app.db.engine import Database, Transaction
from app.db.month_closes import insert_closes, mark_imported, select_close_history, select_closes
from app.db.months import carry_forward
from app.db.organizations import OrganizationRow, lock_organization, update_closed_through
from app.domain.audit import OPERATOR, Action, Actor, AuditEvent
from app.domain.errors import InvalidBatch, InvalidMonth, InvalidReport, MonthClosed
from app.domain.months import Month
from app.ingest.month_rows import load_rows
from app.ingest.replay import MonthRows
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.analyze_trigger import AnalyzeTrigger
from app.services.audit import append_audit_event
from app.services.cutover import cells_told, hand_over_to_live, withdraw_hand_over
from app.services.file_import import store_lines
from app.services.months import months_to_close
from app.services.sources import ActiveSourceRun, open_source_run

SOURCE_NAME = "imported reports"


class Imported(NamedTuple):
    """What became of a report.

    Attributes:
        month: Its month.
        accepted: The events that it brought; None when this very report had been imported.
        stated: Figures that stand as the report states them although events say otherwise.
        gaps: Months before it that closed with it, and of which there was no report.
    """

    month: Month
    accepted: IngestResult | None
    stated: int = 0
    gaps: Sequence[Month] = ()


async def import_reports(
    database: Database,
    organization_id: UUID,
    reports: Iterable[Report],
    *,
    clock: Clock,
    by: Actor = OPERATOR,
    withdrawn: Month | None = None,
    hand_over: Month | None = None,
) -> Sequence[Imported]:
    """Import reports in the order of their months: all of them, or none.

    With `hand_over` live sources take over from that month on (`app/services/cutover.py`), once
    the reports are imported; with `withdrawn` the hand-over of that month is taken back before.

    Raises:
        InvalidMonth: A month has not ended, there are two reports of it, or one of the other two
            cannot be.
        InvalidReport: The feed refuses something that a report says.
        MonthClosed: A month is closed already, and not by this report.
    """
    ordered = sorted(reports, key=lambda report: report.month)
    _insist_on_months(ordered, clock)
    name, kind = SOURCE_NAME, "report"
    async with open_source_run(database, organization_id, name, kind=kind, clock=clock) as run:
        async with database.transaction(organization_id) as tx:
            if withdrawn is not None:
                await withdraw_hand_over(tx, organization_id, withdrawn, clock, by)
            done = [await _import(tx, organization_id, report, clock, by) for report in ordered]
            brought = [each.accepted for each in done if each.accepted is not None]
            if hand_over is not None:
                brought.append(await hand_over_to_live(tx, organization_id, hand_over, clock, by))
            total = sum(brought, IngestResult())
            await run.add_counts(tx, total)
        for imported in done:
            _tell(run, imported)
    await AnalyzeTrigger(database).record_events(total.accepted)
    return done


def _insist_on_months(ordered: Sequence[Report], clock: Clock) -> None:
    now = clock()
    for earlier, later in pairwise(ordered):
        if earlier.month == later.month:
            raise InvalidMonth(
                f"{later.origin}: {later.month} is also the month of {earlier.origin}."
            )
    for report in ordered:
        if report.month.end > now:
            raise InvalidMonth(
                f"{report.origin}: {report.month} has not ended: import its report afterwards."
            )


def _tell(run: ActiveSourceRun, imported: Imported) -> None:
    if imported.stated:
        run.skip(
            f"report of {imported.month}",
            f"{imported.stated} figures stand as it states them, and its events say otherwise",
        )
    for gap in imported.gaps:
        run.skip(f"report of {gap}", "there was none: the month is as the one before left it")


async def _import(
    tx: Transaction, organization_id: UUID, report: Report, clock: Clock, by: Actor
) -> Imported:
    month, now = report.month, clock()
    organization = await lock_organization(tx, organization_id)
    if await _is_imported(tx, organization, report):
        return Imported(month, None)
    if organization.cutover_month is not None and month >= organization.cutover_month:
        taken_over = organization.cutover_month
        raise InvalidMonth(f"{report.origin}: live sources have taken over from {taken_over} on.")
    again = sum(
        1
        for act in await select_close_history(tx, organization_id)
        if act.action == "REOPENED" and act.month == month
    )
    opened = report.opened()
    before = await _before(tx, organization, month)
    changes = Changes(opened, before, await cells_told(tx, organization_id, month), again=again)
    accepted = await _accept(tx, organization_id, report, changes.lines(), clock)
    stated = await _close_as_stated(tx, organization_id, opened, by, now)
    gaps = [] if organization.first_month is None else months_to_close(organization, month)[:-1]
    return Imported(month, accepted, stated, gaps)


async def _is_imported(tx: Transaction, organization: OrganizationRow, report: Report) -> bool:
    """Whether this very report closed its month.

    Raises:
        MonthClosed: The month is closed otherwise.
    """
    closed_through = organization.closed_through
    if closed_through is None or closed_through < report.month:
        return False
    closes = {row.month: row for row in await select_closes(tx, organization.organization_id)}
    close = closes.get(report.month)
    if close is not None and close.imported_sha256 == report.digest:
        return True
    by = "another report" if close is not None and close.imported_sha256 else "no report"
    raise MonthClosed(
        f"{report.origin}: {report.month} is closed already, by {by}: open it again first "
        f"(chargeback months reopen {report.month}), with each later closed month."
    )


async def _before(tx: Transaction, organization: OrganizationRow, month: Month) -> MonthRows:
    """How the month would end if nothing more were said of it."""
    last = organization.last_month
    if last is None or organization.first_month is None or month < organization.first_month:
        return MonthRows.empty()
    rows = await load_rows(tx, organization.organization_id, min(month, last))
    if month > last:
        rows.users = {
            name: row._replace(
                licensed=row.licensed and row.deleted_at is None,
                ui_usage_count=0,
                sdk_usage_count=0,
            )
            for name, row in rows.users.items()
        }
    return rows


async def _accept(
    tx: Transaction,
    organization_id: UUID,
    report: Report,
    lines: Iterator[bytes],
    clock: Clock,
) -> IngestResult:
    chunks = iter(lambda: list(islice(lines, CHUNK_SIZE)), [])
    try:
        return await store_lines(tx, organization_id, chunks, clock())
    except InvalidBatch as refusal:
        told = [f"{problem.field}: {problem.message}" for problem in refusal.problems]
        raise InvalidReport("\n  ".join([f"{report.origin}: refused:", *told])) from None


async def _close_as_stated(
    tx: Transaction, organization_id: UUID, opened: OpenReport, by: Actor, now: datetime
) -> int:
    """Close the month with what the report states; the next one goes on from the events."""
    report, month = opened.report, opened.month
    organization = await lock_organization(tx, organization_id)
    closing = months_to_close(organization, month)
    last_month = await _open_next(tx, organization, month)
    stated = await write_as_stated(tx, organization_id, opened)
    await insert_closes(tx, organization_id, closing, username=by.username or "", now=now)
    await mark_imported(
        tx,
        organization_id,
        month,
        imported_from=report.origin,
        sha256=report.digest,
        changed_at=report.created_at,
    )
    await update_closed_through(tx, organization_id, month, last_month)
    for each in closing:
        detail = {"report": report.origin, "sha256": report.digest} if each == month else {}
        await append_audit_event(
            tx, by, AuditEvent(organization_id, Action.MONTH_CLOSED, str(each), detail), now
        )
    return stated


async def _open_next(tx: Transaction, organization: OrganizationRow, month: Month) -> Month | None:
    """Rows of the next month follow from the events, before those of this one are as stated."""
    if organization.last_month is None:
        return None
    last = organization.last_month
    if opened := list(last.plus(1).through(month.plus(1))):
        await carry_forward(tx, organization.organization_id, last, opened)
    return max(last, month.plus(1))
