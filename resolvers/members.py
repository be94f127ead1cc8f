"""The members and former members of workspaces."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from app.db.levels import Existence
from app.db.members import select_members, select_members_of_workspaces
from app.db.orders import ALL_ROWS, BY_USERNAME, Page, Sorting
from resolvers.amounts import add_amounts_of_parts, select_for_amount
from resolvers.changes import compare
from resolvers.context import Context
from resolvers.levels import PartKey, ReportKey, WorkspaceKey, read_level, read_list, stream_level
from resolvers.report_windows import previous_keys
from resolvers.rows import Grouped, RowStream, Selection


async def members_of_workspaces(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    *,
    sorting: Sorting = BY_USERNAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the members of each workspace at the end of its report month.

    Rows are grouped by workspace. The orders are USERNAME, and those of `workspaces_of_reports`
    by a figure; ties are sorted by username. The figures cover the experiments that the
    member owns in that workspace. Columns outside `selection` are not computed:

    - `workspace_id`, `user_id`, `username`
    - `present`: whether the user is a member at the report's end
    - `email`: null if no source has sent one
    - `last_activity_at`: when such an experiment was last created, moved or resized
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: the share in what the workspace is charged; null when nothing is charged

    Source: `member_month`, `user_month`.
    """
    columns = select_for_amount(selection, "user_id")
    select = partial(select_members_of_workspaces, columns)
    found = await read_list(
        context, select, workspaces, ("workspace_id",), sorting=sorting, page=page
    )
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
    sorting: Sorting = BY_USERNAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the owners of experiments who are not members at the report's end.

    Columns, order and source are those of `members_of_workspaces`. Members and former members
    add up to the workspace.
    """
    columns = select_for_amount(selection, "user_id")
    select = partial(select_members_of_workspaces, columns, existence=Existence.FORMER)
    found = await read_list(
        context, select, workspaces, ("workspace_id",), sorting=sorting, page=page
    )
    return await _add_amounts(context, workspaces, selection, found)


async def previous_members(
    context: Context, members: Sequence[PartKey], selection: Selection, months: int
) -> Grouped:
    """Return each member so many months earlier: one row per group, or none.

    A user who was no member then and had no figures in the workspace has none. Columns and source
    are those of `members_of_workspaces`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    keys = await previous_keys(context, members, months)
    select = partial(select_members, select_for_amount(selection, "user_id"))
    found = await read_level(context, select, keys, ("workspace_id", "user_id"))
    return await _add_amounts(context, [key[:3] for key in keys], selection, found)


async def changes_of_members(
    context: Context, keys: Sequence[tuple[Any, ...]], selection: Selection, months: int
) -> Grouped:
    """Return how each member differs from so many months earlier; see `compare`.

    The keys are those of the members, with the values of `compared_columns`.
    """
    return await compare(keys, selection, partial(previous_members, context, months=months), 4)


async def _add_amounts(
    context: Context, workspaces: Sequence[WorkspaceKey], selection: Selection, found: Grouped
) -> Grouped:
    return await add_amounts_of_parts(
        context, workspaces, selection, found, "user_id", select_members_of_workspaces
    )
