"""Statements of uses by users without a licence, which are charged to nobody."""

from typing import Any

from sqlalchemy import Date, Select, Text, and_, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.levels import LevelQuery, select_columns
from app.db.orders import Order
from app.db.report_windows import ORGANIZATION
from app.db.statements import compile_once
from app.db.tables import UserMonth
from app.db.users import is_licensed


@compile_once
def select_unlicensed_usage_of_reports(*, one_report: bool = True) -> Select[Any]:
    """Select the users without a licence who used the platform, for each of the reports.

    Columns: `user_id`, `username`, `ui_usage_count`, `sdk_usage_count`, sorted by username.
    """
    level = LevelQuery.of(UserMonth, one_report=one_report)
    row = UserMonth
    names = ("user_id", "username", "ui_usage_count", "sdk_usage_count")
    # The rows of a carried month belong to the last month with events: their flows do not count.
    used = and_(~level.report.c.carried, or_(row.ui_usage_count != 0, row.sdk_usage_count != 0))
    return level.select(
        select_columns({name: getattr(row, name) for name in names}, frozenset(names)),
        and_(~is_licensed(level), used),
        Order("username"),
    )


@compile_once
def select_licensed_names() -> Select[Any]:
    """Select the licensed users of `months` whose names, in lower case, are among `names`.

    Columns: `month`, `username`, sorted.
    """
    names = bindparam("names", type_=ARRAY(Text))
    columns: tuple[Any, ...] = (UserMonth.month, UserMonth.username)
    return (
        select(*columns)
        .where(
            UserMonth.organization_id == ORGANIZATION,
            UserMonth.month == any_(bindparam("months", type_=ARRAY(Date))),
            UserMonth.licensed,
            func.lower(UserMonth.username) == any_(names),
        )
        .order_by(UserMonth.month, UserMonth.username)
    )
