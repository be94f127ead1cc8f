"""The workspaces and former workspaces of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.db.levels import ALL_ROWS, Page
from app.db.workspaces import select_workspaces_of_reports
from resolvers.amounts import add_amounts_of_workspaces, select_for_amount
from resolvers.context import Context
from resolvers.levels import ReportKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


@dataclass(frozen=True, slots=True)
class WorkspaceCriteria:
    """Criteria for workspaces; None matches every workspace."""

    name: str | None = None
    name_contains: str | None = None
    minimum_size_bytes: int | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The criteria that are set, by parameter name."""
        criteria = {
            "name": self.name,
            "name_contains": self.name_contains or None,
            "minimum_size_bytes": self.minimum_size_bytes,
        }
        return {name: value for name, value in criteria.items() if value is not None}


ANY_WORKSPACE = WorkspaceCriteria()


async def workspaces_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: WorkspaceCriteria = ANY_WORKSPACE,
    order: str = "NAME",
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the workspaces that exist at each report's end.

    Rows are grouped by report. `order` is NAME, or SIZE or EXPERIMENTS with the largest first;
    ties are sorted by id. Columns outside `selection` are not computed:

    - `workspace_id`, `name`, `number_of_members`, `number_of_projects`
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: charged for storage and experiments; null when nothing is charged in the month

    Source: `workspace_month`; counts from `member_month` and `project_month`.
    """
    parameters = matching.parameters
    select = partial(
        select_workspaces_of_reports,
        select_for_amount(selection, "workspace_id"),
        matching=frozenset(parameters),
        order=order,
        paging=page.paging,
    )
    found = await read_level(context, select, reports, **parameters, **page.parameters)
    return await add_amounts_of_workspaces(context, reports, selection, found)


def stream_workspaces(
    context: Context, report: ReportKey, selection: Selection, chunk_size: int
) -> RowStream:
    """Stream the workspaces of a report, sorted by name."""
    select = partial(select_workspaces_of_reports, selection)
    return stream_level(context, select, report, chunk_size)


async def former_workspaces_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Return the workspaces that were deleted within the month and used in it, sorted by name.

    Columns and source are those of `workspaces_of_reports`. Stocks are 0; flows remain.
    """
    columns = select_for_amount(selection, "workspace_id")
    select = partial(select_workspaces_of_reports, columns, former=True)
    found = await read_level(context, select, reports)
    return await add_amounts_of_workspaces(context, reports, selection, found)
