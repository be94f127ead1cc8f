"""The chargeback reports of an organization: their totals, and how they read month rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.db.levels import ReportWindow
from app.db.reports import select_reports
from app.domain.audit import Action, AuditEvent
from app.domain.errors import InvalidArgument, OrganizationNotFound, ReportDisabled
from app.domain.months import Month, microseconds, report_end
from app.settings import Settings
from resolvers.context import Context
from resolvers.rows import Grouped, Selection

MAX_MONTHS = 120
"""The longest range of reports: ten years."""


def require_report_enabled(settings: Settings) -> None:
    """Reject a request for a report while reports are switched off.

    Raises:
        ReportDisabled: CHARGEBACK_USAGE_REPORT_ENABLED is false.
    """
    if not settings.chargeback_usage_report_enabled:
        raise ReportDisabled


async def fetch_report(
    context: Context,
    organization: str | None,
    month: Month,
    selection: Selection,
    *,
    action: Action = Action.REPORT_READ,
    detail: Mapping[str, str] | None = None,
) -> Grouped:
    """Return the report of one month: one group with one row.

    The read is audited, with `action` and `detail`.

    Columns, whatever the selection:

    - `organization_id`, `window`: the report's key, as the resolvers of its lists take it
    - `organization_name`, `revision`
    - `month`, `report_date`: first day of the month
    - `closed`, `status`: whether the month is closed
    - `closed_at`, `rows_hash`: null while the month is open
    - `imported_from`: the origin of an imported report; null if the month follows from events
    - `created_at`: when the report last changed

    Columns if selected: `number_of_workspaces`, `experiments`, `unmeasured`, `size_bytes`,
    `number_of_users`.

    Raises:
        Forbidden: The caller may not read this organization's reports.
        InvalidMonth: The month is in the future.
        OrganizationNotFound: No organization has this name.
        ReportDisabled: Reports are switched off.

    Source: `organization`, `month_close`, `workspace_month`, `user_month`; rules in
    docs/report.md.
    """
    found = await _fetch(context, organization, [month], selection)
    _record_read(context, found, action, [month], detail or {})
    return found


async def fetch_reports(
    context: Context, organization: str | None, first: Month, last: Month, selection: Selection
) -> Grouped:
    """Return the reports of a range of months, both ends included: one group, in order.

    Columns and source are those of `fetch_report`.

    Raises:
        InvalidArgument: The range is empty or longer than `MAX_MONTHS`.
        Forbidden, InvalidMonth, OrganizationNotFound, ReportDisabled: As for `fetch_report`.
    """
    if last < first:
        raise InvalidArgument(f"to: must not be earlier than from; got {first} to {last}.")
    if first.plus(MAX_MONTHS) <= last:
        raise InvalidArgument(f"to: at most {MAX_MONTHS} months from {first}; got {last}.")
    months = list(first.through(last))
    found = await _fetch(context, organization, months, selection)
    _record_read(context, found, Action.REPORT_READ, months, {})
    return found


async def _fetch(
    context: Context, organization: str | None, months: Sequence[Month], selection: Selection
) -> Grouped:
    require_report_enabled(context.settings)
    organization_id = context.caller.resolve_organization(organization)
    context.snapshot.allow_organization(organization_id)
    statement = select_reports(selection)
    rows = await context.snapshot.fetch_rows(
        statement,
        {"months": [month.first_day for month in months]},
        organization_id=organization_id,
    )
    if not rows:
        raise OrganizationNotFound(f"There is no organization {organization!r}.")
    with_windows = [
        (*row, _report_window(month, row, context.now))
        for month, row in zip(months, rows, strict=True)
    ]
    columns = dict(statement.columns)
    columns["report_date"] = columns["month"]
    columns["status"] = columns["closed"]
    columns["window"] = len(with_windows[0]) - 1
    return Grouped(columns, [with_windows])


def _record_read(
    context: Context,
    found: Grouped,
    action: Action,
    months: Sequence[Month],
    detail: Mapping[str, str],
) -> None:
    first, last = months[0], months[-1]
    target = str(first) if first == last else f"{first} to {last}"
    organization_id = found.groups[0][0][found.columns["organization_id"]]
    context.audit_events.append(AuditEvent(organization_id, action, target, detail))


def _report_window(month: Month, row: Any, now: datetime) -> ReportWindow:
    end, latest_event_at = report_end(month, now), row["latest_event_at"]
    if end < month.end and latest_event_at is not None:
        # The clock of a source may be seconds ahead of ours. The report includes its events.
        end = min(max(end, latest_event_at), month.end)
    return ReportWindow(
        month=month.first_day,
        rows_month=row["rows_month"],
        carried=row["rows_month"] != month.first_day,
        elapsed_microseconds=microseconds(end - month.start),
        remaining_microseconds=microseconds(month.end - end),
        ui_measured=row["ui_measured"],
        sdk_measured=row["sdk_measured"],
        flows_known=row["imported_from"] is None,
        closed=row["closed"],
        revision=row["revision"],
    )
