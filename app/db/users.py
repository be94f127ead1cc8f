"""Statements that select the users of reports."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    and_,
    bindparam,
    case,
    cast,
    extract,
    false,
    func,
    literal_column,
    null,
    or_,
)

from app.db.figures import (
    flow_if_measured,
    flow_instant,
    gone_columns,
    number,
    storage_columns,
)
from app.db.levels import LevelQuery, contains_text, select_columns
from app.db.orders import (
    BY_USERNAME,
    UNPAGED,
    Order,
    Paging,
    Sorting,
    by_column,
    orders_by_storage,
)
from app.db.report_windows import other_report
from app.db.statements import compile_once
from app.db.tables import UserMonth

_NEVER = literal_column("'-infinity'::timestamptz", DateTime(timezone=True))


def _last_activity(row: Any) -> ColumnElement[Any]:
    """Return the last known activity; null without one."""
    return func.greatest(row.last_used_at, row.last_experiment_at)


ORDERS = {
    "USERNAME": Order("username"),
    "CREATED_AT": Order("username", by_column("created_at")),
    "LAST_ACTIVITY": Order("username", lambda row, _: func.coalesce(_last_activity(row), _NEVER)),
    **orders_by_storage("username", identity=("user_id",)),
}
CONDITIONS = {
    "username_contains": contains_text(UserMonth.username, bindparam("username_contains")),
    "suspended": UserMonth.suspended.is_not_distinct_from(bindparam("suspended")),
    "service_account": UserMonth.service_account.is_not_distinct_from(
        bindparam("service_account")
    ),
}
"""The conditions that a user filter can set, by parameter name, besides those of activity."""
IDLE_SINCE, ACTIVE_SINCE, UNKNOWN_SINCE = "idle_since", "active_since", "unknown_since"


@compile_once
def select_licensed_users_of_reports(
    selection: frozenset[str],
    *,
    matching: frozenset[str] = frozenset(),
    sorting: Sorting = BY_USERNAME,
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Select the licensed users of each report whose month is in `parent_month`.

    `matching` names the `CONDITIONS` to apply, and those of activity. Columns, besides those of
    `storage_columns`:

    - `user_id`, `username`, `email`, `role`, `suspended`, `service_account`, `present`
    - `created_at`, `created_at_is_inferred`, `deleted_at`
    - `ui_usage_count`, `ui_used_at`, `sdk_usage_count`, `sdk_used_at`, `last_used_at`
    - `last_activity_at`: the last use, or the last experiment created, moved or resized
    - `created_ms`, `deleted_ms`, `ui_used_ms`, `sdk_used_ms`, `last_used_ms`: the same instants
      in milliseconds since 1970
    """
    order = sorting.choose(ORDERS)
    level = LevelQuery.of(UserMonth, one_report=one_report, is_compared=order.is_compared)
    return level.select(
        select_columns(_columns(level), selection),
        and_(is_licensed(level), *_conditions(level, matching)),
        order,
        paging,
    )


def _conditions(level: LevelQuery, matching: frozenset[str]) -> list[ColumnElement[bool]]:
    is_active, is_idle = user_is_active(ACTIVE_SINCE), user_is_idle(level)
    is_known = or_(user_is_active(UNKNOWN_SINCE), user_is_idle(level, UNKNOWN_SINCE))
    of_activity = {ACTIVE_SINCE: is_active, IDLE_SINCE: is_idle, UNKNOWN_SINCE: ~is_known}
    conditions = {**CONDITIONS, **of_activity}
    return [conditions[name] for name in sorted(matching)]


def user_is_active(since: str) -> ColumnElement[bool]:
    """Return the condition for users who are known to have done something since a time."""
    start = bindparam(since, type_=DateTime(timezone=True))
    return func.coalesce(_last_activity(UserMonth) >= start, false())


def user_is_idle(level: LevelQuery, since: str = IDLE_SINCE) -> ColumnElement[bool]:
    """Return the condition for users who are known to have done nothing since a time.

    Their usage must have been measured since before that time, and they must have existed.
    """
    row, measured_from = UserMonth, level.report.c.usage_measured_from
    latest = func.greatest(measured_from, row.created_at, row.last_used_at, row.last_experiment_at)
    start = bindparam(since, type_=DateTime(timezone=True))
    return and_(measured_from.is_not(None), latest < start)


@compile_once
def select_licensed_users(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select those of the users in `parent_month` and `parent_user_id` that are licensed."""
    level = LevelQuery.of(UserMonth, "user_id", one_report=one_report)
    return level.select(
        select_columns(_columns(level), selection), is_licensed(level), ORDERS["USERNAME"]
    )


@compile_once
def select_gone_users(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select the users licensed in `parent_month` and not in the month compared with.

    Columns as in `select_licensed_users_of_reports`; their figures are those of the latter month.
    """
    level = LevelQuery.of(UserMonth, one_report=one_report, is_compared=True)
    report = other_report(level.report)
    no_use = {
        **gone_columns(report),
        "ui_usage_count": case((report.c.ui_measured, number(0))),
        "ui_used_at": null(),
        "sdk_usage_count": case((report.c.sdk_measured, number(0))),
        "sdk_used_at": null(),
    }
    return level.select(
        select_columns({**_columns(level), **no_use}, selection),
        level.gone(is_licensed, "user_id"),
        ORDERS["USERNAME"],
    )


def _milliseconds(instant: Any) -> ColumnElement[int]:
    """Return whole milliseconds since 1970, like `app.domain.months.to_epoch_milliseconds`."""
    thousand = literal_column("1000", BigInteger)
    return cast(func.floor(extract("epoch", instant) * thousand), BigInteger)


def is_licensed(level: LevelQuery) -> ColumnElement[bool]:
    """Return the condition for licensed users.

    A user deleted in an earlier month, whose rows carry over, is no longer licensed.
    """
    row = level.table
    return and_(row.licensed, or_(~level.report.c.carried, row.deleted_at.is_(None)))


def _columns(level: LevelQuery) -> Mapping[str, Any]:
    row, report = UserMonth, level.report
    return {
        "user_id": row.user_id,
        "username": row.username,
        "email": row.email,
        "role": row.role,
        "created_at": row.created_at,
        "created_at_is_inferred": row.created_at_is_inferred,
        "deleted_at": row.deleted_at,
        "present": row.deleted_at.is_(None),
        "suspended": row.suspended,
        "service_account": row.service_account,
        "ui_usage_count": flow_if_measured(row.ui_usage_count, report.c.ui_measured, report),
        "ui_used_at": flow_instant(row.ui_used_at, report),
        "sdk_usage_count": flow_if_measured(row.sdk_usage_count, report.c.sdk_measured, report),
        "sdk_used_at": flow_instant(row.sdk_used_at, report),
        "last_used_at": row.last_used_at,
        "created_ms": _milliseconds(row.created_at),
        "deleted_ms": _milliseconds(row.deleted_at),
        "ui_used_ms": _milliseconds(flow_instant(row.ui_used_at, report)),
        "sdk_used_ms": _milliseconds(flow_instant(row.sdk_used_at, report)),
        "last_used_ms": _milliseconds(row.last_used_at),
        **storage_columns(row, report),
        "last_activity_at": _last_activity(row),
    }
