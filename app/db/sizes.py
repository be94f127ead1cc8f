"""Statements that count an organization's month rows."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnExpressionArgument,
    Select,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.sql.selectable import CompoundSelect

from app.db.report_windows import ORGANIZATION
from app.db.statements import compile_once
from app.db.tables import MemberMonth, Organization, ProjectMonth, UserMonth, WorkspaceMonth


@compile_once
def select_sizes() -> CompoundSelect[Any]:
    """Select the sizes of each kind of list of `organization_id` in its last month.

    Columns: the kind, `total` (all rows) and `most` (the rows of the largest parent).
    """
    return union_all(
        _sizes("workspaces", WorkspaceMonth),
        _sizes("users", UserMonth),
        _sizes("members", MemberMonth, MemberMonth.present),
        _sizes("former_members", MemberMonth, ~MemberMonth.present),
        _sizes("projects", ProjectMonth),
    )


def _sizes(kind: str, table: Any, *conditions: ColumnExpressionArgument[bool]) -> Select[Any]:
    last_month = (
        select(Organization.last_month)
        .where(Organization.organization_id == ORGANIZATION)
        .scalar_subquery()
    )
    parent = table.workspace_id if table in {MemberMonth, ProjectMonth} else table.month
    counted = (
        select(func.count().label("count"))
        .where(table.organization_id == ORGANIZATION, table.month == last_month, *conditions)
        .group_by(parent)
        .subquery()
    )
    counts = counted.c.count
    return select(
        literal(kind).label("kind"),
        cast(func.coalesce(func.sum(counts), 0), BigInteger).label("total"),
        func.coalesce(func.max(counts), 0).label("most"),
    )
