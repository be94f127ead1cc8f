"""The chargeback reports of an organization: their totals, and how they read month rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from uuid import UUID

from app.db.report_windows import ReportWindow
from app.db.reports import select_reports
from app.domain.audit import Action, AuditEvent
from app.domain.errors import InvalidArgument, OrganizationNotFound, ReportDisabled
from app.domain.months import Month
from app.domain.sizes import MEGABYTE, to_hundredths
from app.settings import Settings
from resolvers.amounts import AMOUNT
from resolvers.changes import compare
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.report_windows import MAX_MONTHS, earlier_month, to_window
from resolvers.rows import Grouped, Selection


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
    - `usage_measured_from`: since when every measured channel is; null if none is measured
    - `created_at`: when the report last changed

    Columns if selected:

    - `number_of_workspaces`, `number_of_users`
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: the total of the charges; null when nothing is charged in the month

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
    rows = await _fetch_rows(context, organization_id, months, selection)
    if not rows:
        raise OrganizationNotFound(f"There is no organization {organization!r}.")
    return await _complete(context, organization_id, months, rows, selection)


async def previous_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection, months: int
) -> Grouped:
    """Return the report of so many months earlier: one row per group, or none.

    There is none before the month of the organization's first event. Columns and source are those
    of `fetch_report`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    earlier = [earlier_month(window.month, months) for _, window in reports]
    wanted = sorted({month for month in earlier if month})
    organization_id = reports[0][0]
    rows = await _fetch_rows(context, organization_id, wanted, selection)
    found = await _complete(context, organization_id, wanted, rows, selection)
    position = found.columns["rows_month"]
    by_month = dict(zip(wanted, found.groups[0], strict=True))
    known = [by_month.get(month) if month else None for month in earlier]
    return Grouped(
        found.columns, [[row] if row and row[position] is not None else [] for row in known]
    )


async def changes_of_reports(
    context: Context, keys: Sequence[tuple[Any, ...]], selection: Selection, months: int
) -> Grouped:
    """Return how each report differs from that of so many months earlier; see `compare`.

    The keys are those of the reports, with the figures of `compared_columns`.
    """
    return await compare(keys, selection, partial(previous_reports, context, months=months), 2)


async def _fetch_rows(
    context: Context, organization_id: UUID, months: Sequence[Month], selection: Selection
) -> Sequence[Any]:
    return await context.snapshot.fetch_rows(
        select_reports(_columns_for(selection)),
        {"months": [month.first_day for month in months]},
        organization_id=organization_id,
    )


def _columns_for(selection: Selection) -> Selection:
    """Return the columns to select: the average follows from exact sums."""
    if "average_hundredths" in selection:
        return selection | {"byte_microseconds", "exact_size_bytes"}
    return selection


async def _complete(
    context: Context,
    organization_id: UUID,
    months: Sequence[Month],
    rows: Sequence[Any],
    selection: Selection,
) -> Grouped:
    """Add the columns that follow from others, and remember the windows of the reports."""
    columns = dict(select_reports(_columns_for(selection)).columns)
    columns["report_date"] = columns["month"]
    columns["status"] = columns["closed"]
    width = len(select_reports(_columns_for(selection)).columns)
    columns |= {"window": width, "average_hundredths": width + 1, AMOUNT: width + 2}
    windows = [to_window(month, row, context.now) for month, row in zip(months, rows, strict=True)]
    context.windows.of(organization_id).update(zip(months, windows, strict=True))
    has_average, has_amount = "average_hundredths" in selection, AMOUNT in selection
    completed = [
        (
            *row,
            window,
            _average_hundredths(row, window) if has_average else None,
            await _amount(context, (organization_id, window)) if has_amount else None,
        )
        for row, window in zip(rows, windows, strict=True)
    ]
    return Grouped(columns, [completed])


def _average_hundredths(row: Any, window: ReportWindow) -> int | None:
    """Return the average size of a report in hundredths of a MB; None if it is unknown."""
    if not window.flows_known:
        return None
    size_bytes, elapsed = int(row["exact_size_bytes"]), window.elapsed_microseconds
    held = int(row["byte_microseconds"]) - size_bytes * window.remaining_microseconds
    if window.carried:
        held = size_bytes * elapsed
    return to_hundredths(Fraction(held, max(elapsed, 1) * MEGABYTE))


async def _amount(context: Context, report: ReportKey) -> Decimal | None:
    charges = await charges_of_report(context, report)
    return charges.currency.from_minor(charges.total) if charges else None


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
