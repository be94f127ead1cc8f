"""What came too late for closed months, as the reports show it that it is booked in."""

from collections.abc import Sequence

from app.db.month_closes import select_corrections_of_reports
from resolvers.context import Context
from resolvers.levels import ReportKey, grouped
from resolvers.rows import Grouped, Selection


async def corrections_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Corrections booked in these reports' months.

    Returns:
        Rows grouped by report, by origin month, figure and names. Columns: origin_month, figure
        (as `Figure` spells it), workspace, project, username (null where they do not matter),
        amount (in the figure's unit; negative when the closed report says too much).

    Source: table `correction`.
    """
    statement = select_corrections_of_reports(selection)
    rows = await context.snapshot.fetch_rows(
        statement,
        {"parent_month": [month for _, month in reports]},
        organization_id=reports[0][0],
    )
    return grouped(rows, statement.columns, len(reports))
