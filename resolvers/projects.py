"""The projects of workspaces."""

from collections.abc import Sequence
from functools import partial

from app.db.levels import ALL, Page
from app.db.projects import select_projects_of_workspaces
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
    page: Page = ALL,
) -> Grouped:
    """Projects that exist at the report's end, for all these workspaces at once.

    Returns:
        Rows grouped by workspace, each group in `order`: by name, or by size or experiments from
        the largest, ties by id. Columns: project_id, name, experiments, experiments_created,
        size_bytes, average_hundredths (of a MB); those outside `selection` are not computed.

    Source: table `project_month`.
    """
    matching = {"name_contains": name_contains} if name_contains else {}
    select = partial(
        select_projects_of_workspaces,
        selection,
        matching=frozenset(matching),
        order=order,
        paging=page.paging,
    )
    return await read_level(
        context, select, workspaces, ("workspace_id",), **matching, **page.parameters
    )


def stream_projects(
    context: Context, report: ReportKey, selection: Selection, size: int
) -> RowStream:
    """The same of all workspaces of one report, which count by name, `size` projects at a time."""
    select = partial(select_projects_of_workspaces, selection, of_all=True)
    return stream_level(context, select, report, size)


async def former_projects_of_workspaces(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection
) -> Grouped:
    """Projects deleted within the month that were used in it: their flows remain.

    Returns:
        As `projects_of_workspaces`, by name. Stocks are 0.
    """
    select = partial(select_projects_of_workspaces, selection, former=True)
    return await read_level(context, select, workspaces, ("workspace_id",))
