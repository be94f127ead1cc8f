"""Corrections of closed months."""

from collections.abc import Sequence

from app.db.corrections import select_corrections_of_reports
from resolvers.context import Context
from resolvers.levels import ReportKey, group_rows
from resolvers.rows import Grouped, Selection


async def corrections_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Return the corrections that are booked in each report's month.

    Rows are grouped by report and sorted by origin month, figure and names. Columns:

    - `origin_month`: first day of the closed month that the correction belongs to
    - `figure`: as `Figure` spells it
    - `workspace`, `project`, `username`: null where the figure does not depend on them
    - `amount`: in the figure's unit; negative if the closed report is too high

    Source: `correction`.
    """
    statement = select_corrections_of_reports(selection)
    rows = await context.snapshot.fetch_rows(
        statement,
        {"parent_month": [window.month for _, window in reports]},
        organization_id=reports[0][0],
    )
    return group_rows(rows, statement.columns, len(reports))
