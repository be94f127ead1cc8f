"""The projects and former projects of workspaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.db.levels import Existence
from app.db.orders import ALL_ROWS, BY_NAME, Page, Sorting
from app.db.projects import (
    select_gone_projects,
    select_projects,
    select_projects_of_reports,
    select_projects_of_workspaces,
)
from resolvers.amounts import (
    AMOUNT,
    add_amounts_of_parts,
    add_amounts_of_projects,
    select_for_amount,
)
from resolvers.changes import compare
from resolvers.context import Context
from resolvers.levels import (
    PartKey,
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
class ProjectCriteria:
    """Criteria for projects; None matches every project.

    A project matches `idle_since` if no experiment of it was created, moved or resized since then,
    and one was earlier: a project whose activity is unknown does not match.
    """

    name_contains: str | None = None
    idle_since: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The criteria that are set, by parameter name."""
        criteria = {"name_contains": self.name_contains or None, "idle_since": self.idle_since}
        return {name: value for name, value in criteria.items() if value is not None}


ANY_PROJECT = ProjectCriteria()


async def projects_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    matching: ProjectCriteria = ANY_PROJECT,
    sorting: Sorting = BY_NAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the projects of each workspace that exist at the report's end.

    Rows are grouped by workspace. The orders are those of `workspaces_of_reports`; ties are sorted
    by id. Columns outside `selection` are not computed:

    - `workspace_id`, `workspace_name`, `project_id`, `name`
    - `present`: whether it exists at the report's end
    - `last_activity_at`: when an experiment was last created, moved or resized
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: the share in what the workspace is charged; null when nothing is charged

    Source: `project_month`.
    """
    found = await read_list(
        context,
        partial(select_projects_of_workspaces, select_for_amount(selection, "project_id")),
        workspaces,
        ("workspace_id",),
        sorting=sorting,
        page=page,
        matching=matching.parameters,
    )
    return await _add_amounts(context, workspaces, selection, found)


async def projects_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: ProjectCriteria = ANY_PROJECT,
    sorting: Sorting = BY_NAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the projects of all workspaces that exist at each report's end.

    Rows are grouped by report. Orders, columns and source are those of `projects_of_workspaces`.
    """
    found = await read_list(
        context,
        partial(select_projects_of_reports, _select_of_reports(selection)),
        reports,
        sorting=sorting,
        page=page,
        matching=matching.parameters,
    )
    return await add_amounts_of_projects(
        context, reports, selection, found, select_projects_of_workspaces
    )


async def former_projects_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Return the projects of all workspaces that were deleted within the month and used in it.

    They are sorted by name. Columns and source are those of `projects_of_workspaces`. Stocks are
    0; flows remain.
    """
    columns = _select_of_reports(selection)
    select = partial(select_projects_of_reports, columns, existence=Existence.FORMER)
    found = await read_level(context, select, reports)
    return await add_amounts_of_projects(
        context, reports, selection, found, select_projects_of_workspaces
    )


def _select_of_reports(selection: Selection) -> Selection:
    columns = select_for_amount(selection, "project_id")
    return columns | {"workspace_id"} if AMOUNT in selection else columns


def stream_projects(
    context: Context, report: ReportKey, selection: Selection, chunk_size: int
) -> RowStream:
    """Stream the projects of all workspaces of a report, numbered in order of workspace name."""
    select = partial(select_projects_of_workspaces, selection, all_workspaces=True)
    return stream_level(context, select, report, chunk_size)


async def former_projects_of_workspaces(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection
) -> Grouped:
    """Return the projects that were deleted within the month and used in it, sorted by name.

    Columns and source are those of `projects_of_workspaces`. Stocks are 0; flows remain.
    """
    columns = select_for_amount(selection, "project_id")
    select = partial(select_projects_of_workspaces, columns, existence=Existence.FORMER)
    found = await read_level(context, select, workspaces, ("workspace_id",))
    return await _add_amounts(context, workspaces, selection, found)


async def previous_projects(
    context: Context, projects: Sequence[PartKey], selection: Selection, months: int
) -> Grouped:
    """Return each project so many months earlier: one row per group, or none without figures.

    Columns and source are those of `projects_of_workspaces`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    keys = await previous_keys(context, projects, months)
    select = partial(select_projects, select_for_amount(selection, "project_id"))
    found = await read_level(context, select, keys, ("workspace_id", "project_id"))
    return await _add_amounts(context, [key[:3] for key in keys], selection, found)


async def changes_of_projects(
    context: Context, keys: Sequence[tuple[Any, ...]], selection: Selection, months: int
) -> Grouped:
    """Return how each project differs from so many months earlier; see `compare`.

    The keys are those of the projects, with the values of `compared_columns`.
    """
    return await compare(keys, selection, partial(previous_projects, context, months=months), 4)


async def gone_projects_of_workspaces(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, months: int
) -> Grouped:
    """Return the projects that had figures so many months earlier and have none now, by name.

    Columns are those of `projects_of_workspaces`. All figures are 0: they are those of the report.

    Raises:
        InvalidArgument: `months` is out of range.

    Source: `project_month`.
    """
    select = partial(select_gone_projects, select_for_amount(selection, "project_id"))
    previous = await previous_keys(context, workspaces, months)
    found = await read_gone(context, select, workspaces, previous, ("workspace_id",))
    return await _add_amounts(context, workspaces, selection, found)


async def _add_amounts(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, found: Grouped
) -> Grouped:
    return await add_amounts_of_parts(
        context, workspaces, selection, found, "project_id", select_projects_of_workspaces
    )
