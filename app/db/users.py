"""Statements that read the users of reports."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, true

from app.db.levels import (
    ALL,
    EVERY,
    Level,
    Order,
    Page,
    containing,
    figures,
    flow_instant,
    measured,
    selected,
)
from app.db.tables import UserMonth

ORDERS = {
    "USERNAME": Order(UserMonth.username, UserMonth.username),
    "SIZE": Order(UserMonth.size_bytes, UserMonth.username, descending=True),
    "EXPERIMENTS": Order(UserMonth.experiments, UserMonth.username, descending=True),
    "CREATED_AT": Order(UserMonth.created_at, UserMonth.username),
}


def select_licensed_users_of_reports(
    selection: frozenset[str],
    *,
    matching: ColumnElement[bool] = EVERY,
    order: str = "USERNAME",
    page: Page = ALL,
) -> Select[Any]:
    """Licensed users of the reports whose months `parent_month` is bound to.

    Columns beside those of `figures`: user_id, username, email, created_at, deleted_at, suspended,
    service_account, role, ui_usage_count, ui_used_at, sdk_usage_count, sdk_used_at, last_used_at.
    """
    level = Level.of(UserMonth)
    return level.select(
        selected(_columns(level), selection), and_(_licensed(level), matching), ORDERS[order], page
    )


def select_licensed_users(selection: frozenset[str]) -> Select[Any]:
    """The licensed ones of the users that `parent_month` and `parent_user_id` are bound to."""
    level = Level.of(UserMonth, "user_id")
    return level.select(selected(_columns(level), selection), _licensed(level), ORDERS["USERNAME"])


def matching_users(
    username_contains: str | None, suspended: bool | None, service_account: bool | None
) -> ColumnElement[bool]:
    """Users with that in the username, suspended or not, service accounts or not."""
    return and_(
        true(),
        *([containing(UserMonth.username, username_contains)] if username_contains else ()),
        *([UserMonth.suspended.is_(suspended)] if suspended is not None else ()),
        *([UserMonth.service_account.is_(service_account)] if service_account is not None else ()),
    )


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
        "deleted_at": row.deleted_at,
        "suspended": row.suspended,
        "service_account": row.service_account,
        "ui_usage_count": measured(row.ui_usage_count, report.c.ui_measured, report),
        "ui_used_at": flow_instant(row.ui_used_at, report),
        "sdk_usage_count": measured(row.sdk_usage_count, report.c.sdk_measured, report),
        "sdk_used_at": flow_instant(row.sdk_used_at, report),
        "last_used_at": row.last_used_at,
        **figures(row, report),
    }
