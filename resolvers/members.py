"""The members of workspaces, and those who were."""

from collections.abc import Sequence
from functools import partial

from app.db.levels import ALL, Page
from app.db.members import select_members_of_workspaces
from resolvers.context import Context
from resolvers.levels import ReportKey, WorkspaceKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


async def members_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    order: str = "USERNAME",
    page: Page = ALL,
) -> Grouped:
    """Members in force at the report's end, for all these workspaces at once.

    Returns:
        Rows grouped by workspace, each group in `order`: by username, or by size or experiments
        from the largest, ties by username. Columns: organization_id, month, user_id, username,
        email (null while the user is not announced), experiments, experiments_created,
        size_bytes, average_hundredths (of a MB): of the experiments that the member owns in that
        workspace. Those outside `selection` are not computed.

    Source: tables `member_month`, `user_month`.
    """
    select = partial(select_members_of_workspaces, selection, order=order, paging=page.paging)
    return await read_level(context, select, workspaces, ("workspace_id",), **page.parameters)


def stream_members(
    context: Context, report: ReportKey, selection: Selection, size: int
) -> RowStream:
    """The same of all workspaces of one report, which count by name, `size` members at a time."""
    select = partial(select_members_of_workspaces, selection, of_all=True)
    return stream_level(context, select, report, size)


async def former_members_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    order: str = "USERNAME",
    page: Page = ALL,
) -> Grouped:
    """Owners of experiments who are no members at the report's end.

    Returns:
        As `members_of_workspaces`. With the members they add up to the workspace.
    """
    select = partial(
        select_members_of_workspaces, selection, former=True, order=order, paging=page.paging
    )
    return await read_level(context, select, workspaces, ("workspace_id",), **page.parameters)
