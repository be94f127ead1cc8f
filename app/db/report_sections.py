"""Statements that select the sections of an exported report: all rows of one kind, with names.

Unlike the lists of a report, a section has existing and former entities in one statement, across
all workspaces, so that its rows add up to the organization.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
)

from app.db.figures import (
    average_hundredths,
    flow_if_measured,
    number,
    storage_columns,
    to_bigint,
)
from app.db.levels import LevelQuery, limit_rows
from app.db.projects import PROJECT_IS_IDLE
from app.db.report_windows import ORGANIZATION, Report, other_report
from app.db.statements import compile_once
from app.db.tables import MemberMonth, ProjectMonth, UserMonth, Workspace, WorkspaceMonth
from app.db.users import is_licensed, user_is_idle
from app.db.workspaces import count_in_workspace, count_per_workspace
from app.domain.sections import Section, SectionOrder

_ORDERS = {
    SectionOrder.SIZE: "size_bytes",
    SectionOrder.AVERAGE: "byte_microseconds",
    SectionOrder.EXPERIMENTS: "experiments",
    SectionOrder.CREATED: "experiments_created",
}
_STOCKS = ("number_of_members", "number_of_projects", "experiments", "unmeasured", "size_bytes")
_FLOWS = ("experiments_created", "licences", "ui_usage_count", "sdk_usage_count")
_FIGURES = frozenset((*_STOCKS, *_FLOWS, "size_in_mb", "byte_microseconds", "average_hundredths"))


@compile_once
def select_section_rows(
    section: Section,
    *,
    order: SectionOrder,
    is_descending: bool | None = None,
    is_limited: bool = False,
    in_workspace: bool = False,
    is_idle: bool = False,
    is_compared: bool = False,
) -> Select[Any]:
    """Select a section: `first` rows after `skip` if limited, those of one `workspace` if set.

    Columns: `is_current` (false for deleted entities, former members, unlicensed users), the names
    and states of the section, and those of `storage_columns`. By name, existing workspaces come
    before deleted ones. With `is_idle`, only what is idle since `idle_since`. With `is_compared`,
    also what only the other report has, with figures of 0; and the column
    `average_hundredths_before`.
    """
    level = _level(section)
    rows, names = _section_rows(level, section, in_workspace=in_workspace, is_idle=is_idle)
    found = rows.subquery("found")
    if is_compared:
        other = replace(level, report=other_report(level.report))
        before, _ = _section_rows(other, section, in_workspace=in_workspace, is_idle=False)
        found = _compare(found, before.subquery("before"), names, is_idle=is_idle)
    by_name: list[ColumnElement[Any]] = [found.c[name] for name in names]
    if order is not SectionOrder.NAME:
        figure = _growth(found) if order is SectionOrder.GROWTH else found.c[_ORDERS[order]]
        directed = figure.asc() if is_descending is False else figure.desc()
        by_name = [directed.nulls_last(), *by_name]
    elif is_descending:
        by_name = [name.desc() for name in by_name]
    elif section is Section.WORKSPACE:
        by_name = [found.c.is_current.desc(), *by_name]
    statement = select(literal_column("1", BigInteger).label("ordinal"), *found.c)
    statement = statement.order_by(*by_name)
    return limit_rows(statement) if is_limited else statement


def _level(section: Section) -> LevelQuery:
    return LevelQuery.of(_TABLES[section], one_report=True)


def _compare(now: Any, before: Any, names: Sequence[str], *, is_idle: bool) -> Any:
    """Join the rows of two reports; what has none in the first has figures of 0."""
    same = and_(*(now.c[name] == before.c[name] for name in names))
    joined = now.join(before, same, isouter=is_idle, full=not is_idle)
    is_gone, was_not = now.c.id.is_(None), before.c.id.is_(None)

    def complete(column: ColumnElement[Any]) -> ColumnElement[Any]:
        name = str(column.key)
        if name == "is_current":
            return func.coalesce(column, literal_column("false"))
        if name in _FIGURES:
            return case((is_gone, number(0)), else_=column)
        return func.coalesce(column, before.c[name])

    columns = [complete(column).label(str(column.key)) for column in now.c]
    average = case((was_not, number(0)), else_=before.c.average_hundredths)
    return (
        select(*columns, average.label("average_hundredths_before"))
        .select_from(joined)
        .subquery("compared")
    )


def _growth(found: Any) -> ColumnElement[Any]:
    growth: ColumnElement[Any] = func.coalesce(found.c.average_hundredths, number(0))
    return growth - func.coalesce(found.c.average_hundredths_before, number(0))


@compile_once
def select_section_totals(
    section: Section, *, in_workspace: bool, is_idle: bool = False
) -> Select[Any]:
    """Select one row with the totals over all rows of a section.

    Columns: `rows`, `number` (of existing entities) and the sums of the section's figures.
    """
    level = _level(section)
    rows, _ = _section_rows(level, section, in_workspace=in_workspace, is_idle=is_idle)
    found = rows.subquery("found")
    report = level.report
    held = func.coalesce(func.sum(found.c.byte_microseconds), 0)
    sums = {
        "rows": func.count(),
        "number": func.count().filter(found.c.is_current),
        **{name: _sum(found.c[name]) for name in _STOCKS if name in found.c},
        **{
            name: case((_is_known(name, report), _sum(found.c[name])))
            for name in _FLOWS
            if name in found.c
        },
        "byte_microseconds": case((report.c.flows_known, held)),
        "average_hundredths": case((report.c.flows_known, average_hundredths(held, report))),
    }
    return select(
        literal_column("1", BigInteger).label("ordinal"),
        *(value.label(name) for name, value in sums.items()),
    )


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return to_bigint(func.coalesce(func.sum(column), 0))


def _is_known(flow: str, report: Report) -> ColumnElement[bool]:
    known = {"ui_usage_count": report.c.ui_measured, "sdk_usage_count": report.c.sdk_measured}
    if flow == "licences":
        return true()
    is_known: ColumnElement[bool] = known.get(flow, report.c.flows_known)
    return is_known


def _section_rows(
    level: LevelQuery, section: Section, *, in_workspace: bool, is_idle: bool
) -> tuple[Select[Any], tuple[str, ...]]:
    """Return the rows of a section, unordered, and the columns that identify a row."""
    rows, columns, identity = _SECTIONS[section](level, in_workspace)
    condition = _charged_user(level) if section is Section.USER else level.has_figures()
    available = {**columns, **storage_columns(level.table, level.report)}
    statement: Any = (
        select(*(value.label(name) for name, value in available.items()))
        .select_from(rows)
        .where(level.rows_of(level.table), condition)
    )
    if is_idle:
        statement = statement.where(_IDLE[section](level))
    if in_workspace:
        name = WorkspaceMonth.name if section is Section.WORKSPACE else Workspace.name
        statement = statement.where(name == bindparam("workspace"))
    return statement, identity


_Rows = tuple[Any, Mapping[str, SQLColumnExpression[Any]], tuple[str, ...]]


def _workspaces(level: LevelQuery, in_workspace: bool) -> _Rows:
    rows: Any = WorkspaceMonth.__table__
    counts: dict[str, Any] = {}
    for name, table in (("number_of_members", MemberMonth), ("number_of_projects", ProjectMonth)):
        if in_workspace:
            counts[name] = count_in_workspace(table)
        else:
            counted = count_per_workspace(table, level)
            rows = rows.outerjoin(counted, counted.c.workspace_id == WorkspaceMonth.workspace_id)
            counts[name] = func.coalesce(counted.c.number, 0)
    columns = {
        "is_current": WorkspaceMonth.present,
        "id": WorkspaceMonth.workspace_id,
        "workspace_id": WorkspaceMonth.workspace_id,
        "workspace": WorkspaceMonth.name,
        **counts,
    }
    return rows, columns, ("workspace",)


def _projects(_: LevelQuery, __: bool) -> _Rows:
    columns = {
        "is_current": ProjectMonth.present,
        "id": ProjectMonth.project_id,
        "workspace_id": ProjectMonth.workspace_id,
        "workspace": Workspace.name,
        "project": ProjectMonth.name,
    }
    return _join_workspace(ProjectMonth), columns, ("workspace", "project")


def _members(_: LevelQuery, __: bool) -> _Rows:
    rows = _join_workspace(MemberMonth).outerjoin(
        UserMonth,
        and_(
            UserMonth.organization_id == ORGANIZATION,
            UserMonth.month == MemberMonth.month,
            UserMonth.user_id == MemberMonth.user_id,
        ),
    )
    columns = {
        "is_current": MemberMonth.present,
        "id": MemberMonth.user_id,
        "workspace_id": MemberMonth.workspace_id,
        "workspace": Workspace.name,
        "username": MemberMonth.username,
        "email": UserMonth.email,
    }
    return rows, columns, ("workspace", "username")


def _join_workspace(table: Any) -> Any:
    is_of_workspace = and_(
        Workspace.organization_id == ORGANIZATION, Workspace.workspace_id == table.workspace_id
    )
    return table.__table__.join(Workspace.__table__, is_of_workspace)


def _users(level: LevelQuery, _: bool) -> _Rows:
    row, report = UserMonth, level.report
    licensed = is_licensed(level)
    columns = {
        "is_current": licensed,
        "id": row.user_id,
        "workspace_id": null(),
        "username": row.username,
        "email": row.email,
        "role": row.role,
        "suspended": row.suspended,
        "service_account": row.service_account,
        "created_at": row.created_at,
        "deleted_at": row.deleted_at,
        "last_used_at": row.last_used_at,
        "licences": case((licensed, 1), else_=0),
        "ui_usage_count": flow_if_measured(row.ui_usage_count, report.c.ui_measured, report),
        "sdk_usage_count": flow_if_measured(row.sdk_usage_count, report.c.sdk_measured, report),
    }
    return row.__table__, columns, ("username",)


def _charged_user(level: LevelQuery) -> ColumnElement[bool]:
    """Licensed users, and others whose experiments or uses are part of the month's figures."""
    row = UserMonth
    flows = (row.experiments_created, row.byte_microseconds, row.ui_usage_count)
    flowed = or_(*(flow != 0 for flow in (*flows, row.sdk_usage_count)))
    return or_(is_licensed(level), row.experiments != 0, and_(~level.report.c.carried, flowed))


_TABLES: Mapping[Section, Any] = {
    Section.WORKSPACE: WorkspaceMonth,
    Section.PROJECT: ProjectMonth,
    Section.MEMBER: MemberMonth,
    Section.USER: UserMonth,
}
_SECTIONS: Mapping[Section, Callable[[LevelQuery, bool], _Rows]] = {
    Section.WORKSPACE: _workspaces,
    Section.PROJECT: _projects,
    Section.MEMBER: _members,
    Section.USER: _users,
}
_IDLE: Mapping[Section, Callable[[LevelQuery], ColumnElement[bool]]] = {
    Section.PROJECT: lambda level: and_(level.existing, PROJECT_IS_IDLE),
    Section.USER: lambda level: and_(is_licensed(level), user_is_idle(level)),
}
"""The sections that can be limited to what is idle."""
