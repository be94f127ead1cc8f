"""Corrections of closed months."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from app.db.corrections import select_corrections_of_reports
from app.db.orders import ALL_ROWS, Page
from app.db.report_windows import first_days
from app.domain.errors import InvalidArgument
from resolvers.connections import parse_cursor
from resolvers.context import Context
from resolvers.levels import ReportKey, group_rows
from resolvers.rows import Grouped, Selection

CURSOR = ("origin_month", "figure", "workspace", "project", "username")
"""The columns that identify a correction among those that a month books."""


async def corrections_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the corrections that are booked in each report's month.

    Rows are grouped by report and sorted by origin month, figure and names. Columns:

    - `origin_month`: first day of the closed month that the correction belongs to
    - `figure`: as `Figure` spells it
    - `workspace`, `project`, `username`: null where the figure does not depend on them
    - `amount`: in the figure's unit; negative if the closed report is too high

    Raises:
        InvalidArgument: The page's cursor is not that of a correction.

    Source: `correction`.
    """
    statement = select_corrections_of_reports(selection, paging=page.paging)
    rows = await context.snapshot.fetch_rows(
        statement,
        {
            "parent_month": first_days(window for _, window in reports),
            "first": page.first,
            **_parse_after(page.after),
        },
        organization_id=reports[0][0],
    )
    return group_rows(rows, statement.columns, len(reports))


def _parse_after(after: str | None) -> dict[str, Any]:
    """Return the parameters of a cursor."""
    if after is None:
        return {}
    month, *names = parse_cursor(after, len(CURSOR))
    try:
        values = [date.fromisoformat(month), *names]
    except ValueError:
        raise InvalidArgument(
            f"after: must be the endCursor of a page; got {after[:80]!r}."
        ) from None
    return {f"after_{name}": value for name, value in zip(CURSOR, values, strict=True)}
