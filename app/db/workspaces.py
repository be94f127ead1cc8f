"""Statements that read the workspaces of reports."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, true

from app.db.levels import (
    ALL,
    EVERY,
    ORGANIZATION,
    Level,
    Order,
    Page,
    containing,
    figures,
    selected,
)
from app.db.tables import MemberMonth, ProjectMonth, WorkspaceMonth

ORDERS = {
    "NAME": Order(WorkspaceMonth.name, WorkspaceMonth.workspace_id),
    "SIZE": Order(WorkspaceMonth.size_bytes, WorkspaceMonth.workspace_id, descending=True),
    "EXPERIMENTS": Order(WorkspaceMonth.experiments, WorkspaceMonth.workspace_id, descending=True),
}


def select_workspaces_of_reports(
    selection: frozenset[str],
    *,
    former: bool = False,
    matching: ColumnElement[bool] = EVERY,
    order: str = "NAME",
    page: Page = ALL,
) -> Select[Any]:
    """Workspaces of the reports whose months `parent_month` is bound to.

    Columns beside those of `figures`: organization_id, month, workspace_id, name,
    number_of_members, number_of_projects.
    """
    level = Level.of(WorkspaceMonth)
    available = {
        "organization_id": WorkspaceMonth.organization_id,
        "month": level.report.c.month,
        "workspace_id": WorkspaceMonth.workspace_id,
        "name": WorkspaceMonth.name,
        "number_of_members": _count(MemberMonth),
        "number_of_projects": _count(ProjectMonth),
        **figures(WorkspaceMonth, level.report),
    }
    condition = level.former if former else level.existing
    return level.select(
        selected(available, selection),
        and_(condition, matching),
        ORDERS[order],
        page,
    )


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


def matching_workspaces(
    name: str | None, name_contains: str | None, minimum_size_bytes: int | None
) -> ColumnElement[bool]:
    """Workspaces of that name, with that in the name, of at least that size."""
    return and_(
        true(),
        *([WorkspaceMonth.name == name] if name is not None else ()),
        *([containing(WorkspaceMonth.name, name_contains)] if name_contains else ()),
        *(
            [WorkspaceMonth.size_bytes >= minimum_size_bytes]
            if minimum_size_bytes is not None
            else ()
        ),
    )
