"""Statements that read the members of workspaces."""

from typing import Any

from sqlalchemy import Select, and_

from app.db.levels import UNPAGED, Order, Paging, figures, selected
from app.db.statements import compile_once
from app.db.tables import MemberMonth, UserMonth
from app.db.workspaces import within_workspaces

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
    order: str = "USERNAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
    of_all: bool = False,
) -> Select[Any]:
    """Members of the workspaces that `parent_month` and `parent_workspace_id` are bound to.

    `of_all`: of all workspaces of one report instead, by name.
    Columns beside those of `figures`: organization_id, month, user_id, username, email.
    """
    level = within_workspaces(MemberMonth, one_report=one_report, of_all=of_all)
    available = {
        "user_id": MemberMonth.user_id,
        "username": MemberMonth.username,
        "email": UserMonth.email,
        **figures(MemberMonth, level.report),
    }
    rows: Any = MemberMonth.__table__
    if "email" in selection:
        rows = rows.outerjoin(UserMonth, _user_of_member())
    return level.select(
        selected(available, selection),
        level.former if former else level.existing,
        ORDERS[order],
        paging,
        joined=rows,
    )


def _user_of_member() -> Any:
    return and_(
        UserMonth.organization_id == MemberMonth.organization_id,
        UserMonth.month == MemberMonth.month,
        UserMonth.user_id == MemberMonth.user_id,
    )
