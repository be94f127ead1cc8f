"""Statements that read the projects of workspaces."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_

from app.db.levels import ALL, EVERY, Level, Order, Page, containing, figures, selected
from app.db.tables import ProjectMonth

ORDERS = {
    "NAME": Order(ProjectMonth.name, ProjectMonth.project_id),
    "SIZE": Order(ProjectMonth.size_bytes, ProjectMonth.project_id, descending=True),
    "EXPERIMENTS": Order(ProjectMonth.experiments, ProjectMonth.project_id, descending=True),
}


def select_projects_of_workspaces(
    selection: frozenset[str],
    *,
    former: bool = False,
    matching: ColumnElement[bool] = EVERY,
    order: str = "NAME",
    page: Page = ALL,
) -> Select[Any]:
    """Projects of the workspaces that `parent_month` and `parent_workspace_id` are bound to.

    Columns beside those of `figures`: project_id, name.
    """
    level = Level.of(ProjectMonth, "workspace_id")
    available = {
        "project_id": ProjectMonth.project_id,
        "name": ProjectMonth.name,
        **figures(ProjectMonth, level.report),
    }
    condition = level.former if former else level.existing
    return level.select(
        selected(available, selection),
        and_(condition, matching),
        ORDERS[order],
        page,
    )


def matching_projects(name_contains: str | None) -> ColumnElement[bool]:
    """Projects with that in the name."""
    return containing(ProjectMonth.name, name_contains) if name_contains else EVERY
