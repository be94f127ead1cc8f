"""The projects and former projects of workspaces."""

from collections.abc import Sequence
from functools import partial

from app.db.levels import ALL_ROWS, Page
from app.db.projects import select_projects_of_workspaces
from resolvers.amounts import add_amounts_of_parts, select_for_amount
from resolvers.context import Context
from resolvers.levels import ReportKey, WorkspaceKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


async def projects_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    name_contains: str | None = None,
    order: str = "NAME",
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the projects of each workspace that exist at the report's end.

    Rows are grouped by workspace. `order` is NAME, or SIZE or EXPERIMENTS with the largest first;
    ties are sorted by id. `name_contains` ignores case. Columns outside `selection` are not
    computed:

    - `project_id`, `name`
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: the share in what the workspace is charged; null when nothing is charged

    Source: `project_month`.
    """
    matching = {"name_contains": name_contains} if name_contains else {}
    select = partial(
        select_projects_of_workspaces,
        select_for_amount(selection, "project_id"),
        matching=frozenset(matching),
        order=order,
        paging=page.paging,
    )
    found = await read_level(
        context, select, workspaces, ("workspace_id",), **matching, **page.parameters
    )
    return await _add_amounts(context, workspaces, selection, found)


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
    select = partial(select_projects_of_workspaces, columns, former=True)
    found = await read_level(context, select, workspaces, ("workspace_id",))
    return await _add_amounts(context, workspaces, selection, found)


async def _add_amounts(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, found: Grouped
) -> Grouped:
    return await add_amounts_of_parts(
        context, workspaces, selection, found, "project_id", select_projects_of_workspaces
    )
