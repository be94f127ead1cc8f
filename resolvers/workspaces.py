"""The workspaces and former workspaces of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.db.levels import Existence
from app.db.orders import ALL_ROWS, BY_NAME, Page, Sorting
from app.db.workspaces import (
    select_gone_workspaces,
    select_workspaces,
    select_workspaces_of_reports,
)
from resolvers.amounts import add_amounts_of_workspaces, select_for_amount
from resolvers.changes import compare
from resolvers.context import Context
from resolvers.levels import (
    ReportKey,
    WorkspaceKey,
    read_gone,
    read_level,
    read_list,
    stream_level,
)
from resolvers.report_windows import previous_keys
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
    sorting: Sorting = BY_NAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the workspaces that exist at each report's end.

    Rows are grouped by report. The orders are NAME, and with the largest first SIZE, EXPERIMENTS,
    AVERAGE_SIZE and GROWTH, which is that of the average size against the month before; ties are
    sorted by id. Columns outside `selection` are not computed:

    - `workspace_id`, `name`, `number_of_members`, `number_of_projects`
    - `present`: whether it exists at the report's end
    - `last_activity_at`: when an experiment was last created, moved or resized
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: charged for storage and experiments; null when nothing is charged in the month

    Source: `workspace_month`; counts from `member_month` and `project_month`.
    """
    found = await read_list(
        context,
        partial(select_workspaces_of_reports, select_for_amount(selection, "workspace_id")),
        reports,
        sorting=sorting,
        page=page,
        matching=matching.parameters,
    )
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
    select = partial(select_workspaces_of_reports, columns, existence=Existence.FORMER)
    found = await read_level(context, select, reports)
    return await add_amounts_of_workspaces(context, reports, selection, found)


async def previous_workspaces(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, months: int
) -> Grouped:
    """Return each workspace so many months earlier: one row per group, or none without figures.

    Columns and source are those of `workspaces_of_reports`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    keys = await previous_keys(context, workspaces, months)
    select = partial(select_workspaces, select_for_amount(selection, "workspace_id"))
    found = await read_level(context, select, keys, ("workspace_id",))
    reports = [(organization_id, window) for organization_id, window, _ in keys]
    return await add_amounts_of_workspaces(context, reports, selection, found)


async def changes_of_workspaces(
    context: Context, keys: Sequence[tuple[Any, ...]], selection: Selection, months: int
) -> Grouped:
    """Return how each workspace differs from so many months earlier; see `compare`.

    The keys are those of the workspaces, with the values of `compared_columns`.
    """
    return await compare(keys, selection, partial(previous_workspaces, context, months=months), 3)


async def gone_workspaces_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection, months: int
) -> Grouped:
    """Return the workspaces that had figures so many months earlier and have none now, by name.

    Columns are those of `workspaces_of_reports`. All figures are 0: they are those of the report.

    Raises:
        InvalidArgument: `months` is out of range.

    Source: `workspace_month`.
    """
    select = partial(select_gone_workspaces, select_for_amount(selection, "workspace_id"))
    previous = await previous_keys(context, reports, months)
    found = await read_gone(context, select, reports, previous)
    return await add_amounts_of_workspaces(context, reports, selection, found)
