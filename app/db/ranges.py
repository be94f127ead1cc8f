"""Statements that add the figures of a range of months up, corrections included.

A month contributes the flows that its report shows. A correction contributes to the month in which
it is booked.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Numeric,
    Select,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.corrections import NOWHERE
from app.db.figures import compute_byte_microseconds, flow_if_measured, number
from app.db.levels import LevelQuery
from app.db.orders import UNPAGED, Order, Paging, Sorting
from app.db.report_windows import ORGANIZATION, Report
from app.db.statements import compile_once
from app.db.tables import (
    Correction,
    PlatformUser,
    Project,
    ProjectMonth,
    UserMonth,
    Workspace,
    WorkspaceMonth,
)
from app.db.users import is_licensed
from app.domain.figures import Figure
from app.domain.sizes import MEGABYTE


class RangeList(StrEnum):
    """What a range lists."""

    WORKSPACES = "workspaces"
    PROJECTS = "projects"
    USERS = "users"


class _Kind(NamedTuple):
    """How one kind of things is read.

    Attributes:
        table: The month table.
        key: The column that identifies a thing.
        directory: The table with its name.
        name: The name's column, in both tables.
    """

    table: Any
    key: str
    directory: Any
    name: str


_KINDS = {
    RangeList.WORKSPACES: _Kind(WorkspaceMonth, "workspace_id", Workspace, "name"),
    RangeList.PROJECTS: _Kind(ProjectMonth, "project_id", Project, "name"),
    RangeList.USERS: _Kind(UserMonth, "user_id", PlatformUser, "username"),
}
_CORRECTED = {
    "experiments_created": Figure.EXPERIMENTS_CREATED,
    "byte_microseconds": Figure.BYTE_MICROSECONDS,
    "ui_usage_count": Figure.UI_USAGE,
    "sdk_usage_count": Figure.SDK_USAGE,
    "licences": Figure.LICENSED_USERS,
}
"""The flows, and the figure of each in corrections."""
_OF_USERS = frozenset({"ui_usage_count", "sdk_usage_count", "licences"})
ORDERS: Mapping[str, str] = {
    "NAME": "name",
    "AVERAGE_SIZE": "byte_microseconds",
    "EXPERIMENTS_CREATED": "experiments_created",
}
"""The column that each order sorts by; figures with the largest first, ties by id."""


@compile_once
def select_range_rows(
    kind: RangeList, *, sorting: Sorting, paging: Paging = UNPAGED
) -> Select[Any]:
    """Select everything of a kind with figures in a range of months.

    Parameters: those of several reports, `parent_month` and `last_month` (first days), and those
    of `_sum` and `_average_hundredths`. Columns:

    - `id`, `name`; of projects `workspace`
    - `exists`: whether it exists at the end of the last month
    - `experiments_created`, `byte_microseconds`, `average_hundredths`; of users `ui_usage_count`,
      `sdk_usage_count` and `licences` (months): null if unknown in a month
    """
    total = _sum_by_id(kind).cte("total")
    shown: list[ColumnElement[Any]] = [*total.c]
    by = ORDERS[sorting.order]
    descending = by != "name" if sorting.is_descending is None else sorting.is_descending
    value = total.c[by] if by == "name" else func.coalesce(total.c[by], number(0))
    statement = select(literal_column("1", BigInteger).label("ordinal"), *shown)
    if paging.has_cursor:
        key = bindparam("after", type_=total.c.id.type)
        last = total.alias("last")
        of_last = last.c[by] if by == "name" else func.coalesce(last.c[by], number(0))
        found = select(of_last).where(last.c.id == key).scalar_subquery()
        further = value < found if descending else value > found
        statement = statement.where(or_(further, and_(value == found, total.c.id > key)))
    statement = statement.order_by(value.desc() if descending else value.asc(), total.c.id)
    return (
        statement.limit(bindparam("first", type_=BigInteger)) if paging.is_limited else statement
    )


@compile_once
def select_range_totals() -> Select[Any]:
    """Select one row with the sums over a range: storage of workspaces, usage of users."""
    storage = _sum(_flows(RangeList.WORKSPACES), frozenset(_CORRECTED) - _OF_USERS).cte("storage")
    usage = _sum(_flows(RangeList.USERS), _OF_USERS).cte("usage")
    return select(
        literal_column("1", BigInteger).label("ordinal"), *storage.c, *usage.c
    ).select_from(storage.join(usage, literal_column("true")))


def _sum_by_id(kind: RangeList) -> Select[Any]:
    of = _KINDS[kind]
    names = frozenset(_CORRECTED) - (frozenset() if kind is RangeList.USERS else _OF_USERS)
    flows = _flows(kind)
    sums = _sum(flows, names, flows.c.id, func.bool_or(flows.c.exists).label("exists"))
    found = sums.group_by(flows.c.id).subquery("found")
    directory = of.directory
    is_named = and_(
        directory.organization_id == ORGANIZATION, getattr(directory, of.key) == found.c.id
    )
    name = getattr(directory, of.name).label("name")
    statement = select(*found.c, name).select_from(found.join(directory.__table__, is_named))
    if kind is not RangeList.PROJECTS:
        return statement
    is_parent = and_(
        Workspace.organization_id == ORGANIZATION, Workspace.workspace_id == Project.workspace_id
    )
    return statement.add_columns(Workspace.name.label("workspace")).join(Workspace, is_parent)


def _sum(flows: Any, names: frozenset[str], *columns: ColumnElement[Any]) -> Select[Any]:
    """Sum flows.

    A sum of experiments is null if one month does not know it. Usage is null unless the parameters
    `ui_usage_count_is_known` and `sdk_usage_count_is_known` are true.
    """
    sums = {name: _sum_if_known(flows, name) for name in _CORRECTED if name in names}
    if "byte_microseconds" in names:
        sums["average_hundredths"] = _average_hundredths(sums["byte_microseconds"])
    return select(*columns, *(value.label(name) for name, value in sums.items())).select_from(
        flows
    )


def _sum_if_known(flows: Any, name: str) -> ColumnElement[Any]:
    total = cast(func.coalesce(func.sum(flows.c[name]), 0), Numeric)
    if name == "licences":
        return cast(total, BigInteger)
    if name in _OF_USERS:
        is_known = bindparam(f"{name}_is_known", type_=Boolean)
        return case((is_known, cast(total, BigInteger)))
    is_unknown = func.bool_or(flows.c.is_unknown)
    if name == "experiments_created":
        total = cast(total, BigInteger)
    return case((func.coalesce(is_unknown, False), None), else_=total)


def _average_hundredths(held: ColumnElement[Any]) -> ColumnElement[Any]:
    elapsed = cast(bindparam("elapsed_microseconds", type_=BigInteger), Numeric)
    unit = func.greatest(elapsed, 1) * cast(number(MEGABYTE), Numeric)
    rounded = func.floor((200 * held + unit) / (2 * unit))
    return cast(rounded, BigInteger)


def _flows(kind: RangeList) -> Any:
    """Return the flows of each thing and month, and the corrections booked in the months."""
    return union_all(_flows_of_months(kind), _flows_of_corrections(kind)).subquery("flows")


def _flows_of_months(kind: RangeList) -> Select[Any]:
    of = _KINDS[kind]
    level = LevelQuery.of(of.table, one_report=False)
    row, report = of.table, level.report
    created = flow_if_measured(row.experiments_created, report.c.flows_known, report)
    is_of_users = kind is RangeList.USERS
    licensed = is_licensed(level) if is_of_users else false()
    is_last = report.c.month == bindparam("last_month", type_=Date)
    exists = row.deleted_at.is_(None) & licensed if is_of_users else row.present
    columns: dict[str, Any] = {
        "id": getattr(row, of.key),
        "exists": and_(is_last, exists),
        "is_unknown": ~report.c.flows_known,
        "experiments_created": created,
        "byte_microseconds": case((report.c.flows_known, compute_byte_microseconds(row, report))),
        "ui_usage_count": null(),
        "sdk_usage_count": null(),
        "licences": number(0),
    }
    if is_of_users:
        columns |= {
            "ui_usage_count": _uses(row.ui_usage_count, licensed, report.c.ui_measured, report),
            "sdk_usage_count": _uses(row.sdk_usage_count, licensed, report.c.sdk_measured, report),
            "licences": case((licensed, 1), else_=0),
        }
    condition = or_(licensed, _has_storage(level)) if is_of_users else level.has_figures()
    order = Order(of.key)
    found = level.select(
        [_typed(name, value) for name, value in columns.items()], condition, order
    ).order_by(None)
    inner = found.subquery("of_month")
    return select(*(inner.c[name] for name in columns))


def _has_storage(level: LevelQuery) -> ColumnElement[bool]:
    row = level.table
    flowed = or_(row.experiments_created != 0, row.byte_microseconds != 0)
    return or_(row.experiments != 0, and_(~level.report.c.carried, flowed))


def _uses(
    count: Any, licensed: ColumnElement[bool], is_measured: Any, report: Report
) -> ColumnElement[Any]:
    """Return the uses of a licensed user; corrections have all uses of one licensed later."""
    return flow_if_measured(case((licensed, count), else_=number(0)), is_measured, report)


def _typed(name: str, value: Any) -> ColumnElement[Any]:
    """Label a column; both parts of the union have the same types."""
    numeric = name in _CORRECTED
    typed: ColumnElement[Any] = (cast(value, Numeric) if numeric else value).label(name)
    return typed


def _flows_of_corrections(kind: RangeList) -> Select[Any]:
    key = getattr(Correction, _KINDS[kind].key)
    names = frozenset(_CORRECTED) - (frozenset() if kind is RangeList.USERS else _OF_USERS)
    amounts = {
        name: case((Correction.figure == literal(figure.value), Correction.amount))
        if name in names
        else null()
        for name, figure in _CORRECTED.items()
    }
    figures = [literal(figure.value) for name, figure in _CORRECTED.items() if name in names]
    return select(
        key.label("id"),
        false().label("exists"),
        false().label("is_unknown"),
        *(_typed(name, amount) for name, amount in amounts.items()),
    ).where(
        Correction.organization_id == ORGANIZATION,
        Correction.booked_month == func.any(bindparam("parent_month", type_=ARRAY(Date))),
        Correction.figure.in_(figures),
        key != literal(NOWHERE, type_=key.type),
    )
