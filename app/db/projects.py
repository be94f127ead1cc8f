"""Statements that select the projects of workspaces."""

from typing import Any

from sqlalchemy import ColumnElement, DateTime, Select, and_, bindparam, func, select

from app.db.figures import gone_columns, storage_columns
from app.db.levels import Existence, LevelQuery, contains_text, select_columns
from app.db.orders import (
    BY_NAME,
    UNPAGED,
    Order,
    Paging,
    Sorting,
    by_column,
    orders_by_storage,
)
from app.db.report_windows import ORGANIZATION, other_report
from app.db.statements import compile_once
from app.db.tables import ProjectMonth, Workspace
from app.db.workspaces import workspace_level

ORDERS = {
    "NAME": Order("project_id", by_column("name")),
    **orders_by_storage("project_id", identity=("workspace_id", "project_id")),
}
# A project whose activity is unknown does not match.
PROJECT_IS_IDLE: ColumnElement[bool] = ProjectMonth.last_experiment_at < bindparam(
    "idle_since", type_=DateTime(timezone=True)
)
CONDITIONS = {
    "name_contains": contains_text(ProjectMonth.name, bindparam("name_contains")),
    "idle_since": PROJECT_IS_IDLE,
}
"""The conditions that a project filter can set, by parameter name."""


@compile_once
def select_projects_of_workspaces(
    selection: frozenset[str],
    *,
    existence: Existence = Existence.EXISTING,
    matching: frozenset[str] = frozenset(),
    sorting: Sorting = BY_NAME,
    paging: Paging = UNPAGED,
    one_report: bool = True,
    all_workspaces: bool = False,
) -> Select[Any]:
    """Select the projects of the workspaces in `parent_month` and `parent_workspace_id`.

    With `all_workspaces`, select those of all workspaces of one report, by workspace name. A
    former project no longer exists but has figures in the month. `matching` names the
    `CONDITIONS` to apply. Columns, besides those of `storage_columns`: `workspace_id`,
    `workspace_name`, `project_id`, `name`, `present`.
    """
    order = sorting.choose(ORDERS)
    level = workspace_level(
        ProjectMonth,
        one_report=one_report,
        all_workspaces=all_workspaces,
        is_compared=order.is_compared,
    )
    return _select_matching(level, selection, existence, matching, order, paging)


@compile_once
def select_projects_of_reports(
    selection: frozenset[str],
    *,
    existence: Existence = Existence.EXISTING,
    matching: frozenset[str] = frozenset(),
    sorting: Sorting = BY_NAME,
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Select the projects of all workspaces of each report whose month is in `parent_month`.

    Arguments and columns are those of `select_projects_of_workspaces`.
    """
    order = sorting.choose(ORDERS)
    level = LevelQuery.of(ProjectMonth, one_report=one_report, is_compared=order.is_compared)
    return _select_matching(level, selection, existence, matching, order, paging)


def _select_matching(
    level: LevelQuery,
    selection: frozenset[str],
    existence: Existence,
    matching: frozenset[str],
    order: Order,
    paging: Paging,
) -> Select[Any]:
    return level.select(
        select_columns(_columns(level), selection),
        and_(level.matches(existence), *(CONDITIONS[name] for name in sorted(matching))),
        order,
        paging,
    )


@compile_once
def select_projects(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select those of the projects in `parent_month` and `parent_project_id` with figures.

    They exist at the report's end, or are former. `parent_workspace_id` has their workspaces.
    """
    level = LevelQuery.of(ProjectMonth, "workspace_id", "project_id", one_report=one_report)
    return level.select(
        select_columns(_columns(level), selection), level.has_figures(), ORDERS["NAME"]
    )


@compile_once
def select_gone_projects(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select the projects with figures in `parent_month` and none in the month compared with.

    `parent_workspace_id` has their workspaces; their figures are those of the latter month: 0.
    """
    level = LevelQuery.of(ProjectMonth, "workspace_id", one_report=one_report, is_compared=True)
    columns = select_columns(
        {**_columns(level), **gone_columns(other_report(level.report))}, selection
    )
    return level.select(
        columns, level.gone(LevelQuery.has_figures, "workspace_id", "project_id"), ORDERS["NAME"]
    )


@compile_once
def count_projects_of_unknown_activity(*, one_report: bool = True) -> Select[Any]:
    """Count for each report the projects that hold experiments without any known activity."""
    level = LevelQuery.of(ProjectMonth, one_report=one_report)
    unknown = and_(ProjectMonth.last_experiment_at.is_(None), ProjectMonth.experiments != 0)
    found = level.select([], and_(level.existing, unknown), ORDERS["NAME"]).order_by(None)
    ordinal = found.subquery().c.ordinal
    return select(ordinal, func.count().label("projects")).group_by(ordinal).order_by(ordinal)


def _columns(level: LevelQuery) -> dict[str, Any]:
    workspace_name = (
        select(Workspace.name)
        .where(
            Workspace.organization_id == ORGANIZATION,
            Workspace.workspace_id == ProjectMonth.workspace_id,
        )
        .scalar_subquery()
    )
    return {
        "workspace_id": ProjectMonth.workspace_id,
        "workspace_name": workspace_name,
        "project_id": ProjectMonth.project_id,
        "name": ProjectMonth.name,
        "present": ProjectMonth.present,
        **storage_columns(ProjectMonth, level.report),
    }
