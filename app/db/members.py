"""Statements that select the members of workspaces."""

from typing import Any

from sqlalchemy import Select, and_

from app.db.levels import UNPAGED, Order, Paging, select_columns, storage_columns
from app.db.statements import compile_once
from app.db.tables import MemberMonth, UserMonth
from app.db.workspaces import workspace_level

ORDERS = {
    "USERNAME": Order(MemberMonth.username, MemberMonth.username),
    "SIZE": Order(MemberMonth.size_bytes, MemberMonth.username, descending=True),
    "EXPERIMENTS": Order(MemberMonth.experiments, MemberMonth.username, descending=True),
}


@compile_once
def select_members_of_workspaces(
    selection: frozenset[str],
    *,
    former: bool = False,
    charged: bool = False,
    order: str = "USERNAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
    all_workspaces: bool = False,
) -> Select[Any]:
    """Select the members of the workspaces in `parent_month` and `parent_workspace_id`.

    With `all_workspaces`, select those of all workspaces of one report, by workspace name. With
    `former`, select owners of experiments who are not members at the report's end; with
    `charged`, select both. Columns, besides those of `storage_columns`: `user_id`, `username`,
    `email`.
    """
    level = workspace_level(MemberMonth, one_report=one_report, all_workspaces=all_workspaces)
    available = {
        "user_id": MemberMonth.user_id,
        "username": MemberMonth.username,
        "email": UserMonth.email,
        **storage_columns(MemberMonth, level.report),
    }
    rows: Any = MemberMonth.__table__
    if "email" in selection:
        rows = rows.outerjoin(UserMonth, _same_user())
    return level.select(
        select_columns(available, selection),
        level.charged if charged else level.former if former else level.existing,
        ORDERS[order],
        paging,
        from_clause=rows,
    )


def _same_user() -> Any:
    """Return the condition that joins a member to the user's row of the month."""
    return and_(
        UserMonth.organization_id == MemberMonth.organization_id,
        UserMonth.month == MemberMonth.month,
        UserMonth.user_id == MemberMonth.user_id,
    )
