"""Statements that count an organization's month rows."""

from typing import Any
from uuid import UUID

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

from app.db.tables import MemberMonth, Organization, ProjectMonth, UserMonth, WorkspaceMonth


def select_sizes(organization_id: UUID) -> CompoundSelect[Any]:
    """For each kind of list: `kind`, `total` rows in the latest month, the `most` of a parent."""
    return union_all(
        _sizes("workspaces", organization_id, WorkspaceMonth),
        _sizes("users", organization_id, UserMonth),
        _sizes("members", organization_id, MemberMonth, MemberMonth.present),
        _sizes("former_members", organization_id, MemberMonth, ~MemberMonth.present),
        _sizes("projects", organization_id, ProjectMonth),
    )


def _sizes(
    kind: str, organization_id: UUID, table: Any, *conditions: ColumnExpressionArgument[bool]
) -> Select[Any]:
    last_month = (
        select(Organization.last_month)
        .where(Organization.organization_id == organization_id)
        .scalar_subquery()
    )
    parent = table.workspace_id if table in {MemberMonth, ProjectMonth} else table.month
    counted = (
        select(func.count().label("count"))
        .where(table.organization_id == organization_id, table.month == last_month, *conditions)
        .group_by(parent)
        .subquery()
    )
    counts = counted.c.count
    return select(
        literal(kind).label("kind"),
        cast(func.coalesce(func.sum(counts), 0), BigInteger).label("total"),
        func.coalesce(func.max(counts), 0).label("most"),
    )
