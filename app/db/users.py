"""Statements that select the users of reports."""

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
    LevelQuery,
    Order,
    Paging,
    contains_text,
    flow_if_measured,
    flow_instant,
    select_columns,
    storage_columns,
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
    "username_contains": contains_text(UserMonth.username, bindparam("username_contains")),
    "suspended": UserMonth.suspended.is_not_distinct_from(bindparam("suspended")),
    "service_account": UserMonth.service_account.is_not_distinct_from(
        bindparam("service_account")
    ),
}
"""The conditions that a user filter can set, by parameter name."""


@compile_once
def select_licensed_users_of_reports(
    selection: frozenset[str],
    *,
    matching: frozenset[str] = frozenset(),
    order: str = "USERNAME",
    paging: Paging = UNPAGED,
    one_report: bool = True,
) -> Select[Any]:
    """Select the licensed users of each report whose month is in `parent_month`.

    `matching` names the `CONDITIONS` to apply. Columns, besides those of `storage_columns`:

    - `user_id`, `username`, `email`, `role`, `suspended`, `service_account`
    - `created_at`, `created_at_is_inferred`, `deleted_at`
    - `ui_usage_count`, `ui_used_at`, `sdk_usage_count`, `sdk_used_at`, `last_used_at`
    - `created_ms`, `deleted_ms`, `ui_used_ms`, `sdk_used_ms`, `last_used_ms`: the same instants
      in milliseconds since 1970
    """
    level = LevelQuery.of(UserMonth, one_report=one_report)
    return level.select(
        select_columns(_columns(level), selection),
        and_(is_licensed(level), *(CONDITIONS[name] for name in sorted(matching))),
        ORDERS[order],
        paging,
    )


@compile_once
def select_licensed_users(selection: frozenset[str], *, one_report: bool = True) -> Select[Any]:
    """Select those of the users in `parent_month` and `parent_user_id` that are licensed."""
    level = LevelQuery.of(UserMonth, "user_id", one_report=one_report)
    return level.select(
        select_columns(_columns(level), selection), is_licensed(level), ORDERS["USERNAME"]
    )


def _milliseconds(instant: Any) -> ColumnElement[int]:
    """Return whole milliseconds since 1970, like `app.domain.months.to_epoch_milliseconds`."""
    thousand = literal_column("1000", BigInteger)
    return cast(func.floor(extract("epoch", instant) * thousand), BigInteger)


def is_licensed(level: LevelQuery) -> ColumnElement[bool]:
    """Return the condition for licensed users.

    A user deleted in an earlier month, whose rows carry over, is no longer licensed.
    """
    return and_(UserMonth.licensed, or_(~level.report.c.carried, UserMonth.deleted_at.is_(None)))


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
    }
