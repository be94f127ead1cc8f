"""Import reports of another service: each becomes a closed month (ADR 41)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from app.clock import Clock
from app.connectors.reports.document import Report
from app.connectors.reports.month_rows import ReportRows, to_month_rows
from app.db.directory import insert_entities
from app.db.engine import Database, Transaction
from app.db.imported_months import insert_reported_rows, insert_reported_users
from app.db.month_closes import MonthCloseRow, insert_closes, mark_imported, select_closes
from app.db.months import carry_forward, delete_rows
from app.db.organizations import OrganizationRow, lock_organization, record_imported_month
from app.domain.audit import OPERATOR, Action, Actor, AuditEvent
from app.domain.errors import InvalidMonth, MonthClosed
from app.domain.months import Month
from app.ingest.store import IngestResult
from app.services.analyze_trigger import AnalyzeTrigger
from app.services.audit import append_audit_event
from app.services.charges import book_charges
from app.services.months import months_to_close
from app.services.sources import open_source_run

SOURCE_NAME = "imported reports"


class ImportedMonth(NamedTuple):
    """The result of importing one report.

    Attributes:
        month: The report's month.
        row_count: The rows that it wrote; None if the same report had been imported before.
        gaps: Earlier months without a report, which closed with this one.
    """

    month: Month
    row_count: int | None
    gaps: Sequence[Month] = ()


async def import_reports(
    database: Database,
    organization_id: UUID,
    reports: Iterable[Report],
    *,
    clock: Clock,
    by: Actor = OPERATOR,
) -> Sequence[ImportedMonth]:
    """Import reports in the order of their months: all of them, or none.

    Raises:
        InvalidMonth: A month has not ended, or two reports state the same month.
        MonthClosed: A month is closed, but not by this report; or a month before it was closed
            from live events.
    """
    ordered = sorted(reports, key=lambda report: report.month)
    _require_importable_months(ordered, clock())
    async with open_source_run(
        database, organization_id, SOURCE_NAME, kind="report", clock=clock
    ) as run:
        async with database.transaction(organization_id) as tx:
            done = [await _import(tx, organization_id, report, by, clock()) for report in ordered]
            # Roll back if another run has begun meanwhile.
            await run.add_counts(tx, IngestResult())
        for gap in (gap for imported in done for gap in imported.gaps):
            run.skip(f"report of {gap}", "there is none: the month closed as its events state it")
    await AnalyzeTrigger(database).record_events(sum(each.row_count or 0 for each in done))
    return done


def _require_importable_months(ordered: Sequence[Report], now: datetime) -> None:
    for earlier, later in pairwise(ordered):
        if earlier.month == later.month:
            raise InvalidMonth(f"{later.origin}: {earlier.origin} also reports {later.month}.")
    for report in ordered:
        if report.month.end > now:
            raise InvalidMonth(
                f"{report.origin}: {report.month} has not ended: import its report afterwards."
            )


async def _import(
    tx: Transaction, organization_id: UUID, report: Report, by: Actor, now: datetime
) -> ImportedMonth:
    organization = await lock_organization(tx, organization_id)
    month = report.month
    closes = {close.month: close for close in await select_closes(tx, organization_id)}
    if month in closes and closes[month].imported_sha256 == report.sha256:
        return ImportedMonth(month, None)
    _require_open(organization, closes, report)
    rows = to_month_rows(report.decode(), month)
    await insert_entities(tx, organization_id, rows.entities)
    last_month = await _open_next_month(tx, organization, month)
    await _replace_rows(tx, organization_id, month, rows)
    closing = months_to_close(organization, month)
    await insert_closes(tx, organization_id, closing, username=by.username or "", now=now)
    await _mark_imported(tx, organization_id, report, rows)
    await record_imported_month(tx, organization_id, month, last_month)
    await book_charges(tx, organization_id, closing[:-1])
    for each in closing:
        detail = {"report": report.origin, "sha256": report.sha256} if each == month else {}
        event = AuditEvent(organization_id, Action.MONTH_CLOSED, str(each), detail)
        await append_audit_event(tx, by, event, now)
    return ImportedMonth(month, rows.row_count, closing[:-1])


def _require_open(
    organization: OrganizationRow, closes: Mapping[Month, MonthCloseRow], report: Report
) -> None:
    """Reject a month that is closed, and one that follows a month closed from live events."""
    closed_through, month = organization.closed_through, report.month
    if closed_through is None:
        return
    if month <= closed_through:
        is_reported = month in closes and closes[month].imported_sha256 is not None
        by = "by another report" if is_reported else "from live events"
        raise MonthClosed(
            f"{report.origin}: {month} is already closed {by}: reopen it first, and before it "
            f"each later month (chargeback months reopen {closed_through} --reason …)."
        )
    if closed_through != organization.imported_through:
        raise MonthClosed(
            f"{report.origin}: {closed_through} was closed from live events, and no imported "
            f"report can follow it: reopen it first "
            f"(chargeback months reopen {closed_through} --reason …)."
        )


async def _open_next_month(tx: Transaction, organization: OrganizationRow, month: Month) -> Month:
    """Create the rows of the next month from live rows, before the report replaces this month's.

    Returns:
        The last month with rows.
    """
    last, following = organization.last_month, month.plus(1)
    if last is None:
        return following
    if opened := list(last.plus(1).through(following)):
        await carry_forward(tx, organization.organization_id, last, opened)
    return max(last, following)


async def _replace_rows(
    tx: Transaction, organization_id: UUID, month: Month, rows: ReportRows
) -> None:
    await delete_rows(tx, organization_id, month)
    for table, of_level in rows.levels.items():
        await insert_reported_rows(tx, organization_id, month, table, of_level)
    await insert_reported_users(tx, organization_id, month, rows.users)


async def _mark_imported(
    tx: Transaction, organization_id: UUID, report: Report, rows: ReportRows
) -> None:
    await mark_imported(
        tx,
        organization_id,
        report.month,
        imported_from=report.origin,
        sha256=report.sha256,
        changed_at=report.created_at,
        is_ui_measured=rows.is_ui_measured,
        is_sdk_measured=rows.is_sdk_measured,
    )
