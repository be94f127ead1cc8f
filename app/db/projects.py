"""Statements that read the projects of workspaces."""

from typing import Any

from sqlalchemy import Select, and_, bindparam

from app.db.levels import UNPAGED, Order, Paging, containing, figures, selected
from app.db.statements import compile_once
from app.db.tables import ProjectMonth
from app.db.workspaces import within_workspaces

ORDERS = {
    "NAME": Order(ProjectMonth.name, ProjectMonth.project_id),
    "SIZE": Order(ProjectMonth.size_bytes, ProjectMonth.project_id, descending=True),
    "EXPERIMENTS": Order(ProjectMonth.experiments, ProjectMonth.project_id, descending=True),
}
CONDITIONS = {"name_contains": containing(ProjectMonth.name, bindparam("name_contains"))}
"""What a filter may ask of a project, by the name of its parameter."""


@compile_once
def select_projects_of_workspaces(
    selection: frozenset[str],
    *,
    former: bool = False,
    matching: frozenset[str] = frozenset(),
    order: str = "NAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
    of_all: bool = False,
) -> Select[Any]:
    """Projects of the workspaces that `parent_month` and `parent_workspace_id` are bound to.

    `of_all`: of all workspaces of one report instead, by name. `matching` names those of
    `CONDITIONS` that they must meet. Columns beside those of `figures`: project_id, name.
    """
    level = within_workspaces(ProjectMonth, one_report=one_report, of_all=of_all)
    available = {
        "project_id": ProjectMonth.project_id,
        "name": ProjectMonth.name,
        **figures(ProjectMonth, level.report),
    }
    condition = level.former if former else level.existing
    return level.select(
        selected(available, selection),
        and_(condition, *(CONDITIONS[name] for name in sorted(matching))),
        ORDERS[order],
        paging,
    )
