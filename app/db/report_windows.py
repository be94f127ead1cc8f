"""How a report reads month rows: the relation `report` of the statements that read it.

For a single report its columns are plain parameters, so PostgreSQL can plan for that month; for
several there is a row per report month.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Uuid,
    bindparam,
    column,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias

from app.domain.months import Month

ORGANIZATION = bindparam("organization_id", type_=Uuid)


@dataclass(frozen=True, slots=True)
class ReportWindow:
    """How a report reads month rows.

    Attributes:
        month: The report month.
        rows_month: First day of the month whose rows the report reads; None if there are none yet.
        carried: Whether these rows belong to an earlier month. Stocks then carry over, and the
            flows of the report month are zero.
        elapsed_microseconds: From the month's start to the report's end.
        remaining_microseconds: From the report's end to the month's end.
        ui_measured: Whether any UI usage was recorded before the report's end.
        sdk_measured: Whether any SDK usage was recorded before the report's end.
        flows_known: False for a month that an imported report states. Such a report gives the
            stocks at the month's end, but neither what was created in the month nor averages.
        usage_measured_from: Since when every measured channel is measured; None if none is.
        closed: Whether the month is closed, so that its charges are those that the close booked.
        revision: Counts the changes of the organization; equal revisions have equal figures.
    """

    month: Month
    rows_month: date | None
    carried: bool
    elapsed_microseconds: int
    remaining_microseconds: int
    ui_measured: bool
    sdk_measured: bool
    flows_known: bool
    usage_measured_from: datetime | None = None
    closed: bool = False
    revision: int = 0


def window_of_ended(month: Month) -> ReportWindow:
    """Return how the report of a month that has ended reads the month's own rows."""
    return ReportWindow(
        month=month,
        rows_month=month.first_day,
        carried=False,
        elapsed_microseconds=month.microseconds,
        remaining_microseconds=0,
        ui_measured=True,
        sdk_measured=True,
        flows_known=True,
    )


_REPORT_COLUMNS: Mapping[str, Any] = {
    "month": Date,
    "rows_month": Date,
    "carried": Boolean,
    "elapsed_microseconds": BigInteger,
    "remaining_microseconds": BigInteger,
    "ui_measured": Boolean,
    "sdk_measured": Boolean,
    "flows_known": Boolean,
    "usage_measured_from": DateTime(timezone=True),
}


_COMPARED_COLUMNS: Mapping[str, Any] = {
    f"other_{name}": kind for name, kind in _REPORT_COLUMNS.items()
}
_OTHER = "other_"
"""Before the columns of the month that a report is compared with."""


def bind_reports(
    reports: Sequence[ReportWindow], *, one: bool, others: Sequence[ReportWindow] = ()
) -> dict[str, Any]:
    """Return the values of the parameters that `report` uses.

    `others` are the reports that these are compared with, one for each.
    """
    values = {name: _column_values(reports, name) for name in _REPORT_COLUMNS}
    if others:
        values |= {_OTHER + name: _column_values(others, name) for name in _REPORT_COLUMNS}
    return {f"report_{name}": found[0] if one else found for name, found in values.items()}


def _column_values(windows: Sequence[ReportWindow], name: str) -> list[Any]:
    if name == "month":
        return first_days(windows)
    return [getattr(window, name) for window in windows]


def first_days(windows: Iterable[ReportWindow]) -> list[date]:
    """Return the first day of each report month, by which the database identifies it."""
    return [window.month.first_day for window in windows]


class OneReport:
    """`report` for a single report: each column is a parameter."""

    def __init__(self) -> None:
        self.c = SimpleNamespace(
            **{
                name: bindparam(f"report_{name}", type_=kind)
                for name, kind in {**_REPORT_COLUMNS, **_COMPARED_COLUMNS}.items()
            }
        )


Report = OneReport | TableValuedAlias


def reports(*, compared: bool = False) -> TableValuedAlias:
    """Return `report` for several reports: one row for each.

    With `compared`, it also has the columns of the report that each is compared with.
    """
    columns = {**_REPORT_COLUMNS, **(_COMPARED_COLUMNS if compared else {})}
    return _unnest_arrays(
        "report", {name: (f"report_{name}", kind) for name, kind in columns.items()}
    )


def other_report(report: Report) -> Report:
    """Return the report that `report` is compared with."""
    other = OneReport()
    other.c = SimpleNamespace(
        **{name: getattr(report.c, _OTHER + name) for name in _REPORT_COLUMNS}
    )
    return other


def parents(keys: Mapping[str, Any]) -> TableValuedAlias:
    """Return `parent`: the keys of all parents, numbered from 1 by `ordinal`.

    The parameters are named `parent_<key>`.
    """
    return _unnest_arrays(
        "parent", {name: (f"parent_{name}", kind) for name, kind in keys.items()}
    )


def _unnest_arrays(name: str, columns: Mapping[str, tuple[str, Any]]) -> TableValuedAlias:
    arrays = [bindparam(bound, type_=ARRAY(kind)) for bound, kind in columns.values()]
    typed = [column(key, kind) for key, (_, kind) in columns.items()]
    return (
        func.unnest(*arrays)
        .table_valued(*typed, with_ordinality="ordinal")
        .render_derived(name=name)
    )
