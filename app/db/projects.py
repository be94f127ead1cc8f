"""Statements that select the projects of workspaces."""

from typing import Any

from sqlalchemy import Select, and_, bindparam

from app.db.levels import UNPAGED, Order, Paging, contains_text, select_columns, storage_columns
from app.db.statements import compile_once
from app.db.tables import ProjectMonth
from app.db.workspaces import workspace_level

ORDERS = {
    "NAME": Order(ProjectMonth.name, ProjectMonth.project_id),
    "SIZE": Order(ProjectMonth.size_bytes, ProjectMonth.project_id, descending=True),
    "EXPERIMENTS": Order(ProjectMonth.experiments, ProjectMonth.project_id, descending=True),
}
CONDITIONS = {"name_contains": contains_text(ProjectMonth.name, bindparam("name_contains"))}
"""The conditions that a project filter can set, by parameter name."""


@compile_once
def select_projects_of_workspaces(
    selection: frozenset[str],
    *,
    former: bool = False,
    charged: bool = False,
    matching: frozenset[str] = frozenset(),
    order: str = "NAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
    all_workspaces: bool = False,
) -> Select[Any]:
    """Select the projects of the workspaces in `parent_month` and `parent_workspace_id`.

    With `all_workspaces`, select those of all workspaces of one report, by workspace name. With
    `former`, select the projects that no longer exist but have figures in the month; with
    `charged`, select both. `matching` names the `CONDITIONS` to apply. Columns, besides those of
    `storage_columns`: `project_id`, `name`.
    """
    level = workspace_level(ProjectMonth, one_report=one_report, all_workspaces=all_workspaces)
    available = {
        "project_id": ProjectMonth.project_id,
        "name": ProjectMonth.name,
        **storage_columns(ProjectMonth, level.report),
    }
    condition = level.charged if charged else level.former if former else level.existing
    return level.select(
        select_columns(available, selection),
        and_(condition, *(CONDITIONS[name] for name in sorted(matching))),
        ORDERS[order],
        paging,
    )
