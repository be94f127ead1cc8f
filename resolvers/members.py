"""The members and former members of workspaces."""

from collections.abc import Sequence
from functools import partial

from app.db.levels import ALL_ROWS, Page
from app.db.members import select_members_of_workspaces
from resolvers.amounts import add_amounts_of_parts, select_for_amount
from resolvers.context import Context
from resolvers.levels import ReportKey, WorkspaceKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


async def members_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    order: str = "USERNAME",
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the members of each workspace at the end of its report month.

    Rows are grouped by workspace. `order` is USERNAME, or SIZE or EXPERIMENTS with the largest
    first; ties are sorted by username. The figures cover the experiments that the member owns in
    that workspace. Columns outside `selection` are not computed:

    - `user_id`, `username`
    - `email`: null if no source has sent one
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: the share in what the workspace is charged; null when nothing is charged

    Source: `member_month`, `user_month`.
    """
    columns = select_for_amount(selection, "user_id")
    select = partial(select_members_of_workspaces, columns, order=order, paging=page.paging)
    found = await read_level(context, select, workspaces, ("workspace_id",), **page.parameters)
    return await _add_amounts(context, workspaces, selection, found)


def stream_members(
    context: Context, report: ReportKey, selection: Selection, chunk_size: int
) -> RowStream:
    """Stream the members of all workspaces of a report, numbered in order of workspace name."""
    select = partial(select_members_of_workspaces, selection, all_workspaces=True)
    return stream_level(context, select, report, chunk_size)


async def former_members_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    order: str = "USERNAME",
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the owners of experiments who are not members at the report's end.

    Columns, order and source are those of `members_of_workspaces`. Members and former members
    add up to the workspace.
    """
    columns = select_for_amount(selection, "user_id")
    select = partial(
        select_members_of_workspaces, columns, former=True, order=order, paging=page.paging
    )
    found = await read_level(context, select, workspaces, ("workspace_id",), **page.parameters)
    return await _add_amounts(context, workspaces, selection, found)


async def _add_amounts(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, found: Grouped
) -> Grouped:
    return await add_amounts_of_parts(
        context, workspaces, selection, found, "user_id", select_members_of_workspaces
    )
