"""The chargeback reports of an organization: totals, and how their month rows are read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.db.levels import ReportMonth
from app.db.reports import select_reports
from app.domain.audit import Action, AuditEvent
from app.domain.errors import InvalidArgument, OrganizationNotFound, ReportDisabled
from app.domain.months import Month, microseconds, report_end
from app.settings import Settings
from resolvers.context import Context
from resolvers.rows import Grouped, Selection

MAX_MONTHS = 120
"""A range of reports spans at most ten years."""


async def fetch_report(
    context: Context, organization: str | None, month: Month, selection: Selection
) -> Grouped:
    """The report of one month: one group with one row.

    Columns: organization_id, organization_name, month, report_date, status (whether closed),
    closed_at, rows_hash (of a closed month), imported_from (of one that an imported report
    states), created_at, revision and, if selected, number_of_workspaces, experiments, size_bytes,
    number_of_users.

    Raises:
        Forbidden: The caller may not read it.
        InvalidMonth: The month is in the future.
        OrganizationNotFound: There is no organization of that name.
        ReportDisabled: It is switched off.

    Source: tables `organization`, `workspace_month`, `user_month`; rule in docs/report.md.
    """
    return await _reports(context, organization, [month], selection)


async def fetch_reports(
    context: Context, organization: str | None, first: Month, last: Month, selection: Selection
) -> Grouped:
    """The reports from one month to another, both included: one group, in order.

    Raises:
        InvalidArgument: The range is empty, or longer than ten years.
        Forbidden, InvalidMonth, OrganizationNotFound, ReportDisabled: As for `fetch_report`.
    """
    if last < first:
        raise InvalidArgument(f"to: must not be earlier than from; got {first} to {last}.")
    if first.plus(MAX_MONTHS) <= last:
        raise InvalidArgument(f"to: at most {MAX_MONTHS} months from {first}; got {last}.")
    return await _reports(context, organization, list(first.through(last)), selection)


def require_report_enabled(settings: Settings) -> None:
    """Raise `ReportDisabled` if the report is switched off."""
    if not settings.chargeback_usage_report_enabled:
        raise ReportDisabled


async def _reports(
    context: Context, organization: str | None, months: Sequence[Month], selection: Selection
) -> Grouped:
    require_report_enabled(context.settings)
    chosen = context.caller.resolve_organization(organization)
    context.snapshot.allow_organization(chosen)
    statement = select_reports(selection)
    rows = await context.snapshot.fetch_rows(
        statement, {"months": [month.first_day for month in months]}, organization_id=chosen
    )
    if not rows:
        raise OrganizationNotFound(f"There is no organization {organization!r}.")
    context.audit_events.append(AuditEvent(chosen, Action.REPORT_READ, _span(months)))
    for month, row in zip(months, rows, strict=True):
        context.reports[chosen, month.first_day] = _report_month(month, row, context.now)
    columns = dict(statement.columns)
    columns["report_date"] = columns["month"]
    columns["status"] = columns["closed"]
    return Grouped(columns, [rows])


def _span(months: Sequence[Month]) -> str:
    first, last = months[0], months[-1]
    return str(first) if first == last else f"{first} to {last}"


def _report_month(month: Month, row: Any, now: datetime) -> ReportMonth:
    end, latest_event_at = report_end(month, now), row["latest_event_at"]
    if end < month.end and latest_event_at is not None:
        # A source whose clock is ahead of ours by seconds is believed: the report ends with it.
        end = min(max(end, latest_event_at), month.end)
    return ReportMonth(
        month=month.first_day,
        rows_month=row["rows_month"],
        carried=row["rows_month"] != month.first_day,
        elapsed_microseconds=microseconds(end - month.start),
        remaining_microseconds=microseconds(month.end - end),
        ui_measured=row["ui_measured"],
        sdk_measured=row["sdk_measured"],
        flows_known=row["imported_from"] is None,
    )
