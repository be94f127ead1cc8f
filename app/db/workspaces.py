"""Statements that select the workspaces of reports."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, select

from app.db.figures import gone_columns, number, storage_columns
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
from app.db.tables import MemberMonth, ProjectMonth, WorkspaceMonth

ORDERS = {
    "NAME": Order("workspace_id", by_column("name")),
    **orders_by_storage("workspace_id", identity=("workspace_id",)),
}
CONDITIONS = {
    "name": WorkspaceMonth.name == bindparam("name"),
    "name_contains": contains_text(WorkspaceMonth.name, bindparam("name_contains")),
    "minimum_size_bytes": WorkspaceMonth.size_bytes >= bindparam("minimum_size_bytes"),
}
"""The conditions that a workspace filter can set, by parameter name."""
_COUNTED_TABLES = {"number_of_members": MemberMonth, "number_of_projects": ProjectMonth}


@compile_once
def select_workspaces_of_reports(
    selection: frozenset[str],
    *,
    existence: Existence = Existence.EXISTING,
    matching: frozenset[str] = frozenset(),
    sorting: Sorting = BY_NAME,
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Select the workspaces of each report whose month is in `parent_month`.

    A former workspace no longer exists but has figures in the month.
    `matching` names the `CONDITIONS` to apply. Columns, besides those of `storage_columns`:
    `workspace_id`, `name`, `present`, `number_of_members`, `number_of_projects`.
    """
    order = sorting.choose(ORDERS)
    level = LevelQuery.of(WorkspaceMonth, one_report=one_report, is_compared=order.is_compared)
    rows: Any = WorkspaceMonth.__table__
    counts: dict[str, Any] = {}
    for name, table in _COUNTED_TABLES.items():
        if name not in selection:
            continue
        if one_report and not matching and not paging.is_limited and not paging.is_counted:
            per_workspace = count_per_workspace(table, level)
            rows = rows.outerjoin(
                per_workspace, per_workspace.c.workspace_id == WorkspaceMonth.workspace_id
            )
            counts[name] = func.coalesce(per_workspace.c.number, 0)
        else:
            counts[name] = count_in_workspace(table)
    available = {**_columns(level), **counts}
    return level.select(
        select_columns(available, selection),
        and_(level.matches(existence), *(CONDITIONS[name] for name in sorted(matching))),
        order,
        paging,
        from_clause=rows,
    )


@compile_once
def select_workspaces(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select those of the workspaces in `parent_month` and `parent_workspace_id` with figures.

    They exist at the report's end, or are former. Columns as in `select_workspaces_of_reports`.
    """
    level = LevelQuery.of(WorkspaceMonth, "workspace_id", one_report=one_report)
    counts = {name: count_in_workspace(table) for name, table in _COUNTED_TABLES.items()}
    columns = select_columns({**_columns(level), **counts}, selection)
    return level.select(columns, level.has_figures(), ORDERS["NAME"])


@compile_once
def select_gone_workspaces(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select the workspaces with figures in `parent_month` and none in the month compared with.

    Columns as in `select_workspaces_of_reports`; their figures are those of the latter month: 0.
    """
    level = LevelQuery.of(WorkspaceMonth, one_report=one_report, is_compared=True)
    counts = dict.fromkeys(_COUNTED_TABLES, number(0))
    columns = select_columns(
        {**_columns(level), **counts, **gone_columns(other_report(level.report))}, selection
    )
    return level.select(
        columns, level.gone(LevelQuery.has_figures, "workspace_id"), ORDERS["NAME"]
    )


def _columns(level: LevelQuery) -> dict[str, Any]:
    return {
        "workspace_id": WorkspaceMonth.workspace_id,
        "name": WorkspaceMonth.name,
        "present": WorkspaceMonth.present,
        **storage_columns(WorkspaceMonth, level.report),
    }


def workspace_level(
    table: Any, *, one_report: bool, all_workspaces: bool, is_compared: bool
) -> LevelQuery:
    """Return the level of a month table within workspaces.

    The workspaces are those that are bound or, with `all_workspaces`, all of one report by name.
    """
    if all_workspaces:
        return LevelQuery.of_each(table, "workspace_id", WorkspaceMonth, ORDERS["NAME"])
    return LevelQuery.of(table, "workspace_id", one_report=one_report, is_compared=is_compared)


def count_in_workspace(table: Any) -> ColumnElement[int]:
    """Count the members or projects of one workspace that exist at the report's end."""
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


def count_per_workspace(table: Any, level: LevelQuery) -> Any:
    """Count the members or projects of every workspace in one pass.

    This is cheaper than a subquery per workspace if all workspaces are selected.
    """
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
