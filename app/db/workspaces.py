"""Statements that read the workspaces of reports."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, select

from app.db.levels import (
    ORGANIZATION,
    UNPAGED,
    Level,
    Order,
    Paging,
    containing,
    figures,
    selected,
)
from app.db.statements import compile_once
from app.db.tables import MemberMonth, ProjectMonth, WorkspaceMonth

ORDERS = {
    "NAME": Order(WorkspaceMonth.name, WorkspaceMonth.workspace_id),
    "SIZE": Order(WorkspaceMonth.size_bytes, WorkspaceMonth.workspace_id, descending=True),
    "EXPERIMENTS": Order(WorkspaceMonth.experiments, WorkspaceMonth.workspace_id, descending=True),
}
CONDITIONS = {
    "name": WorkspaceMonth.name == bindparam("name"),
    "name_contains": containing(WorkspaceMonth.name, bindparam("name_contains")),
    "minimum_size_bytes": WorkspaceMonth.size_bytes >= bindparam("minimum_size_bytes"),
}
"""What a filter may ask of a workspace, by the name of its parameter."""
_COUNTED = {"number_of_members": MemberMonth, "number_of_projects": ProjectMonth}


@compile_once
def select_workspaces_of_reports(
    selection: frozenset[str],
    *,
    former: bool = False,
    matching: frozenset[str] = frozenset(),
    order: str = "NAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Workspaces of the reports whose months `parent_month` is bound to.

    `matching` names those of `CONDITIONS` that they must meet. Columns beside those of `figures`:
    organization_id, month, workspace_id, name, number_of_members, number_of_projects.
    """
    level = Level.of(WorkspaceMonth, one_report=one_report)
    rows: Any = WorkspaceMonth.__table__
    counts: dict[str, Any] = {}
    for name, table in _COUNTED.items():
        if name not in selection:
            continue
        if one_report and not matching and not paging.limited:
            counted = _counts(table, level)
            rows = rows.outerjoin(counted, counted.c.workspace_id == WorkspaceMonth.workspace_id)
            counts[name] = func.coalesce(counted.c.number, 0)
        else:
            counts[name] = _count(table)
    available = {
        "workspace_id": WorkspaceMonth.workspace_id,
        "name": WorkspaceMonth.name,
        **counts,
        **figures(WorkspaceMonth, level.report),
    }
    condition = level.former if former else level.existing
    return level.select(
        selected(available, selection),
        and_(condition, *(CONDITIONS[name] for name in sorted(matching))),
        ORDERS[order],
        paging,
        joined=rows,
    )


def within_workspaces(table: Any, *, one_report: bool, of_all: bool) -> Level:
    """Rows of a month table, for workspaces that are bound or, with `of_all`, for all by name."""
    if of_all:
        return Level.of_each(table, "workspace_id", WorkspaceMonth, ORDERS["NAME"])
    return Level.of(table, "workspace_id", one_report=one_report)


def _count(table: Any) -> ColumnElement[int]:
    """How many of a workspace's members or projects exist at the report's end."""
    return (
        select(func.count())
        .where(
            table.organization_id == ORGANIZATION,
            table.month == WorkspaceMonth.month,
            table.workspace_id == WorkspaceMonth.workspace_id,
            table.present,
        )
        .scalar_subquery()
    )


def _counts(table: Any, level: Level) -> Any:
    """The same of all workspaces at once: where all are wanted, one pass is the cheaper way."""
    return (
        select(table.workspace_id, func.count().label("number"))
        .where(
            table.organization_id == ORGANIZATION,
            table.month == level.report.c.rows_month,
            table.present,
        )
        .group_by(table.workspace_id)
        .subquery(f"{table.__tablename__}_count")
    )
