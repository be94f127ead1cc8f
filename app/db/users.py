"""Statements that read the users of reports."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    or_,
)

from app.db.levels import (
    UNPAGED,
    Level,
    Order,
    Paging,
    containing,
    figures,
    flow_instant,
    measured,
    selected,
)
from app.db.statements import compile_once
from app.db.tables import UserMonth

ORDERS = {
    "USERNAME": Order(UserMonth.username, UserMonth.username),
    "SIZE": Order(UserMonth.size_bytes, UserMonth.username, descending=True),
    "EXPERIMENTS": Order(UserMonth.experiments, UserMonth.username, descending=True),
    "CREATED_AT": Order(UserMonth.created_at, UserMonth.username),
}
CONDITIONS = {
    "username_contains": containing(UserMonth.username, bindparam("username_contains")),
    "suspended": UserMonth.suspended.is_not_distinct_from(bindparam("suspended")),
    "service_account": UserMonth.service_account.is_not_distinct_from(
        bindparam("service_account")
    ),
}
"""What a filter may ask of a user, by the name of its parameter."""


@compile_once
def select_licensed_users_of_reports(
    selection: frozenset[str],
    *,
    matching: frozenset[str] = frozenset(),
    order: str = "USERNAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Licensed users of the reports whose months `parent_month` is bound to.

    `matching` names those of `CONDITIONS` that they must meet. Columns beside those of `figures`:
    user_id, username, email, created_at, created_at_is_inferred, deleted_at, suspended,
    service_account, role, ui_usage_count, ui_used_at, sdk_usage_count, sdk_used_at, last_used_at;
    and created_ms, deleted_ms, ui_used_ms, sdk_used_ms, last_used_ms: these instants in
    milliseconds.
    """
    level = Level.of(UserMonth, one_report=one_report)
    return level.select(
        selected(_columns(level), selection),
        and_(_licensed(level), *(CONDITIONS[name] for name in sorted(matching))),
        ORDERS[order],
        paging,
    )


@compile_once
def select_licensed_users(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """The licensed ones of the users that `parent_month` and `parent_user_id` are bound to."""
    level = Level.of(UserMonth, "user_id", one_report=one_report)
    return level.select(selected(_columns(level), selection), _licensed(level), ORDERS["USERNAME"])


def _milliseconds(instant: Any) -> ColumnElement[int]:
    """Whole milliseconds since 1970, as `app.domain.months.to_epoch_milliseconds` counts them."""
    thousand = literal_column("1000", BigInteger)
    return cast(func.floor(extract("epoch", instant) * thousand), BigInteger)


def _licensed(level: Level) -> ColumnElement[bool]:
    """A user deleted in the month whose rows are carried is not licensed in any later one."""
    return and_(UserMonth.licensed, or_(~level.report.c.carried, UserMonth.deleted_at.is_(None)))


def _columns(level: Level) -> Mapping[str, Any]:
    row, report = UserMonth, level.report
    return {
        "user_id": row.user_id,
        "username": row.username,
        "email": row.email,
        "role": row.role,
        "created_at": row.created_at,
        "created_at_is_inferred": row.created_at_is_inferred,
        "deleted_at": row.deleted_at,
        "suspended": row.suspended,
        "service_account": row.service_account,
        "ui_usage_count": measured(row.ui_usage_count, report.c.ui_measured, report),
        "ui_used_at": flow_instant(row.ui_used_at, report),
        "sdk_usage_count": measured(row.sdk_usage_count, report.c.sdk_measured, report),
        "sdk_used_at": flow_instant(row.sdk_used_at, report),
        "last_used_at": row.last_used_at,
        "created_ms": _milliseconds(row.created_at),
        "deleted_ms": _milliseconds(row.deleted_at),
        "ui_used_ms": _milliseconds(flow_instant(row.ui_used_at, report)),
        "sdk_used_ms": _milliseconds(flow_instant(row.sdk_used_at, report)),
        "last_used_ms": _milliseconds(row.last_used_at),
        **figures(row, report),
    }
