"""The statement that selects reports: an organization's totals of each month."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from app.db.levels import ORGANIZATION, select_columns, to_bigint
from app.db.statements import compile_once
from app.db.tables import MonthClose, Organization, UserMonth, WorkspaceMonth

_TOTALS = {
    "number_of_workspaces": func.count().filter(WorkspaceMonth.present),
    "experiments": func.coalesce(func.sum(WorkspaceMonth.experiments), 0),
    "unmeasured": func.coalesce(func.sum(WorkspaceMonth.unmeasured), 0),
    "size_bytes": to_bigint(func.coalesce(func.sum(WorkspaceMonth.size_bytes), 0)),
}


@compile_once
def select_reports(selection: frozenset[str]) -> Select[Any]:
    """Select one row for each of `months` (first days), in order.

    Columns, whatever the selection: `organization_id`, `organization_name`, `month`, `rows_month`,
    `latest_event_at`, `revision`, `closed`, `closed_at`, `rows_hash`, `imported_from`,
    `ui_measured`, `sdk_measured`, `created_at`. Columns if selected: those of `_TOTALS` and
    `number_of_users`. There are no rows if there is no organization `organization_id`.
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
    totals = select_columns(_TOTALS, selection)
    if totals:
        total = (
            select(*totals)
            .where(
                WorkspaceMonth.organization_id == Organization.organization_id,
                WorkspaceMonth.month == rows_month,
            )
            .lateral("total")
        )
        statement = statement.add_columns(*total.c).join(total, true())
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
        .where(earlier.organization_id == Organization.organization_id)
        .scalar_subquery()
    )
    return and_(
        MonthClose.organization_id == Organization.organization_id,
        MonthClose.month == func.greatest(first_day, first_closed),
    )


def _measured(since: Any, frozen: Any, first_day: Any, name: str) -> ColumnElement[bool]:
    """Return whether a channel was measured before the month's end; a close freezes the value."""
    month_end = func.timezone("UTC", cast(first_day, DateTime) + text("interval '1 month'"))
    return func.coalesce(frozen, since < month_end, False).label(name)


def _number_of_users(rows_month: Any, first_day: Any) -> ColumnElement[Any]:
    """Count licensed users.

    If the rows carry over from an earlier month, users deleted in that month do not count.
    """
    return (
        select(func.count())
        .where(
            UserMonth.organization_id == Organization.organization_id,
            UserMonth.month == rows_month,
            UserMonth.licensed,
            (UserMonth.month == first_day) | UserMonth.deleted_at.is_(None),
        )
        .scalar_subquery()
        .label("number_of_users")
    )
