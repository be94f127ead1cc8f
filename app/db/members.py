"""Statements that select the members of workspaces."""

from typing import Any

from sqlalchemy import Select, and_

from app.db.figures import storage_columns
from app.db.levels import Existence, LevelQuery, select_columns
from app.db.orders import (
    BY_USERNAME,
    UNPAGED,
    Order,
    Paging,
    Sorting,
    orders_by_storage,
)
from app.db.report_windows import ORGANIZATION
from app.db.statements import compile_once
from app.db.tables import MemberMonth, UserMonth
from app.db.workspaces import workspace_level

ORDERS = {
    "USERNAME": Order("username"),
    **orders_by_storage("username", identity=("workspace_id", "user_id")),
}


@compile_once
def select_members_of_workspaces(
    selection: frozenset[str],
    *,
    existence: Existence = Existence.EXISTING,
    sorting: Sorting = BY_USERNAME,
    paging: Paging = UNPAGED,
    one_report: bool = True,
    all_workspaces: bool = False,
) -> Select[Any]:
    """Select the members of the workspaces in `parent_month` and `parent_workspace_id`.

    With `all_workspaces`, select those of all workspaces of one report, by workspace name. A
    former member owns experiments and is not a member at the report's end. Columns, besides those
    of `storage_columns`: `workspace_id`, `user_id`, `username`, `email`, `present`.
    """
    order = sorting.choose(ORDERS)
    level = workspace_level(
        MemberMonth,
        one_report=one_report,
        all_workspaces=all_workspaces,
        is_compared=order.is_compared,
    )
    return level.select(
        select_columns(_columns(level), selection),
        level.matches(existence),
        order,
        paging,
        from_clause=_rows(selection),
    )


@compile_once
def select_members(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select those of the users in `parent_month` and `parent_user_id` with figures.

    They are members of the workspace in `parent_workspace_id` at the report's end, or former ones.
    """
    level = LevelQuery.of(MemberMonth, "workspace_id", "user_id", one_report=one_report)
    return level.select(
        select_columns(_columns(level), selection),
        level.has_figures(),
        ORDERS["USERNAME"],
        from_clause=_rows(selection),
    )


def _columns(level: LevelQuery) -> dict[str, Any]:
    return {
        "workspace_id": MemberMonth.workspace_id,
        "user_id": MemberMonth.user_id,
        "username": MemberMonth.username,
        "email": UserMonth.email,
        "present": MemberMonth.present,
        **storage_columns(MemberMonth, level.report),
    }


def _rows(selection: frozenset[str]) -> Any:
    rows: Any = MemberMonth.__table__
    return rows.outerjoin(UserMonth, _same_user()) if "email" in selection else rows


def _same_user() -> Any:
    """Return the condition that joins a member to the user's row of the month."""
    return and_(
        UserMonth.organization_id == ORGANIZATION,
        UserMonth.month == MemberMonth.month,
        UserMonth.user_id == MemberMonth.user_id,
    )
