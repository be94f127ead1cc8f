"""The statement that selects reports: an organization's totals of each month."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from app.db.figures import megabytes, to_bigint
from app.db.levels import select_columns
from app.db.report_windows import ORGANIZATION
from app.db.statements import compile_once
from app.db.tables import MonthClose, Organization, UserMonth, WorkspaceMonth

_SIZE_BYTES = func.sum(WorkspaceMonth.size_bytes)
_TOTALS: dict[str, SQLColumnExpression[Any]] = {
    "number_of_workspaces": func.count().filter(WorkspaceMonth.present),
    "experiments": func.coalesce(func.sum(WorkspaceMonth.experiments), 0),
    "unmeasured": func.coalesce(func.sum(WorkspaceMonth.unmeasured), 0),
    "size_bytes": to_bigint(func.coalesce(_SIZE_BYTES, 0)),
    "exact_size_bytes": func.coalesce(_SIZE_BYTES, 0),
    "size_in_mb": megabytes(to_bigint(func.coalesce(_SIZE_BYTES, 0))),
    "byte_microseconds": func.coalesce(func.sum(WorkspaceMonth.byte_microseconds), 0),
}


@compile_once
def select_reports(selection: frozenset[str]) -> Select[Any]:
    """Select one row for each of `months` (first days), in order.

    Columns, whatever the selection: `organization_id`, `organization_name`, `month`, `rows_month`,
    `latest_event_at`, `revision`, `closed`, `closed_at`, `rows_hash`, `imported_from`,
    `ui_measured`, `sdk_measured`, `usage_measured_from`, `created_at`. Columns if selected: those
    of `_TOTALS`, `experiments_created` and `number_of_users`. There are no rows if there is no
    organization `organization_id`.
    """
    month = (
        func.unnest(bindparam("months", type_=ARRAY(Date)))
        .table_valued("month", with_ordinality="ordinal")
        .render_derived(name="report")
    )
    first_day = cast(month.c.month, Date)
    rows_month = case(
        (first_day >= Organization.first_month, func.least(first_day, Organization.last_month))
    )
    columns: list[ColumnElement[Any]] = [
        Organization.organization_id.label("organization_id"),
        Organization.name.label("organization_name"),
        first_day.label("month"),
        rows_month.label("rows_month"),
        Organization.latest_event_at.label("latest_event_at"),
        Organization.revision.label("revision"),
        func.coalesce(Organization.closed_through >= first_day, False).label("closed"),
        MonthClose.closed_at.label("closed_at"),
        MonthClose.rows_hash.label("rows_hash"),
        case((MonthClose.month == first_day, MonthClose.imported_from)).label("imported_from"),
        _measured(Organization.ui_measured_from, MonthClose.ui_measured, first_day, "ui_measured"),
        _measured(
            Organization.sdk_measured_from, MonthClose.sdk_measured, first_day, "sdk_measured"
        ),
        _usage_measured_from(first_day),
        func.coalesce(
            MonthClose.changed_at,
            func.greatest(
                Organization.changed_at, func.timezone("UTC", cast(first_day, DateTime))
            ),
        ).label("created_at"),
    ]
    statement = (
        select(*columns)
        .select_from(Organization)
        .join(month, true())
        .outerjoin(MonthClose, _close_of(first_day))
        .where(Organization.organization_id == ORGANIZATION)
    )
    created = func.sum(WorkspaceMonth.experiments_created)
    available: dict[str, SQLColumnExpression[Any]] = {
        **_TOTALS,
        # Rows that carry over from an earlier month have the flows of that month.
        "experiments_created": func.coalesce(created.filter(rows_month == first_day), 0),
    }
    totals = select_columns(available, selection)
    if totals:
        total = (
            select(*totals)
            .where(
                WorkspaceMonth.organization_id == ORGANIZATION,
                WorkspaceMonth.month == rows_month,
            )
            .lateral("total")
        )
        known = case((_is_imported(first_day), None), else_=total.c.get("experiments_created"))
        flows = {"experiments_created": known.label("experiments_created")}
        statement = statement.add_columns(*(flows.get(each.key, each) for each in total.c))
        statement = statement.join(total, true())
    if "number_of_users" in selection:
        statement = statement.add_columns(_number_of_users(rows_month, first_day))
    return statement.order_by(month.c.ordinal)


def _close_of(first_day: Any) -> ColumnElement[bool]:
    """Return the condition that joins a month to the close that froze it.

    Months close in order. The first close also froze the empty months before it, so these join
    to the first close.
    """
    earlier = aliased(MonthClose)
    first_closed = (
        select(func.min(earlier.month))
        .where(earlier.organization_id == ORGANIZATION)
        .scalar_subquery()
    )
    return and_(
        MonthClose.organization_id == ORGANIZATION,
        MonthClose.month == func.greatest(first_day, first_closed),
    )


def _usage_measured_from(first_day: Any) -> ColumnElement[Any]:
    """Return since when every channel measured in the month is measured.

    An imported report states the last use of each user, so nothing before it is unknown.
    """
    channels = (
        (Organization.ui_measured_from, MonthClose.ui_measured),
        (Organization.sdk_measured_from, MonthClose.sdk_measured),
    )
    since = [case((_is_measured(from_, frozen, first_day), from_)) for from_, frozen in channels]
    beginning = cast(literal_column("'1970-01-01 00:00:00+00'"), DateTime(timezone=True))
    return case((_is_imported(first_day), beginning), else_=func.greatest(*since)).label(
        "usage_measured_from"
    )


def _is_imported(first_day: Any) -> ColumnElement[bool]:
    return and_(MonthClose.month == first_day, MonthClose.imported_from.is_not(None))


def _measured(since: Any, frozen: Any, first_day: Any, name: str) -> ColumnElement[bool]:
    return _is_measured(since, frozen, first_day).label(name)


def _is_measured(since: Any, frozen: Any, first_day: Any) -> ColumnElement[bool]:
    """Return whether a channel was measured before the month's end; a close freezes the value."""
    month_end = func.timezone("UTC", cast(first_day, DateTime) + text("interval '1 month'"))
    return func.coalesce(frozen, since < month_end, False)


def _number_of_users(rows_month: Any, first_day: Any) -> ColumnElement[Any]:
    """Count licensed users.

    If the rows carry over from an earlier month, users deleted in that month do not count.
    """
    return (
        select(func.count())
        .where(
            UserMonth.organization_id == ORGANIZATION,
            UserMonth.month == rows_month,
            UserMonth.licensed,
            (UserMonth.month == first_day) | UserMonth.deleted_at.is_(None),
        )
        .scalar_subquery()
        .label("number_of_users")
    )
