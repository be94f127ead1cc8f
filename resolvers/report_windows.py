"""How the reports of a request read month rows: the windows of their months."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.orders import GROWTH, Sorting
from app.db.report_windows import ReportWindow
from app.db.reports import select_reports
from app.domain.errors import InvalidArgument
from app.domain.months import Month, microseconds, report_end
from resolvers.context import Context

MAX_MONTHS = 120
"""The longest range of reports, and the largest distance between two months: ten years."""
_BEFORE_THE_CALENDAR = ReportWindow(
    month=Month(1, 1),
    rows_month=None,
    carried=True,
    elapsed_microseconds=0,
    remaining_microseconds=0,
    ui_measured=False,
    sdk_measured=False,
    flows_known=False,
)


async def earlier_windows(
    context: Context, windows: Sequence[ReportWindow], organization_id: UUID, months: int
) -> Mapping[Month, ReportWindow]:
    """Return by month the window of the report so many months earlier.

    One statement reads those windows that the request has not read yet.

    Raises:
        InvalidArgument: `months` is out of range.

    Source: `organization`, `month_close`.
    """
    earlier = {month: earlier_month(month, months) for month in {each.month for each in windows}}
    known = context.windows.of(organization_id)
    async with context.windows.lock:
        missing = sorted({month for month in earlier.values() if month and month not in known})
        if missing:
            rows = await context.snapshot.fetch_rows(
                select_reports(frozenset()),
                {"months": [month.first_day for month in missing]},
                organization_id=organization_id,
            )
            for month, row in zip(missing, rows, strict=True):
                known[month] = to_window(month, row, context.now)
    return {
        month: known[other] if other else _BEFORE_THE_CALENDAR for month, other in earlier.items()
    }


async def previous_keys(
    context: Context, keys: Sequence[tuple[Any, ...]], months: int
) -> list[tuple[Any, ...]]:
    """Return the keys of the same things so many months earlier.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    earlier = await earlier_windows(context, [key[1] for key in keys], keys[0][0], months)
    return [(key[0], earlier[key[1].month], *key[2:]) for key in keys]


async def previous_windows(
    context: Context, keys: Sequence[tuple[Any, ...]], sorting: Sorting
) -> Mapping[Month, ReportWindow] | None:
    """Return by month the window of the month before, if an order compares with it."""
    if sorting.order != GROWTH:
        return None
    return await earlier_windows(context, [key[1] for key in keys], keys[0][0], 1)


def earlier_month(month: Month, months: int) -> Month | None:
    """Return the month so many months earlier; None before the first year.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    if not 1 <= months <= MAX_MONTHS:
        raise InvalidArgument(f"months: must be from 1 to {MAX_MONTHS}; got {months}.")
    earlier = month.plus(-months)
    return earlier if earlier.year >= 1 else None


def to_window(month: Month, row: Any, now: datetime) -> ReportWindow:
    """Return the window of a row of `select_reports`."""
    end, latest_event_at = report_end(month, now), row["latest_event_at"]
    if end < month.end and latest_event_at is not None:
        # The clock of a source may be seconds ahead of ours. The report includes its events.
        end = min(max(end, latest_event_at), month.end)
    return ReportWindow(
        month=month,
        rows_month=row["rows_month"],
        carried=row["rows_month"] != month.first_day,
        elapsed_microseconds=microseconds(end - month.start),
        remaining_microseconds=microseconds(month.end - end),
        ui_measured=row["ui_measured"],
        sdk_measured=row["sdk_measured"],
        flows_known=row["imported_from"] is None,
        usage_measured_from=row["usage_measured_from"],
        closed=row["closed"],
        revision=row["revision"],
    )
