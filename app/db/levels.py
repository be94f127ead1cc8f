"""How one nesting level is read: one statement for all parents, whatever their number.

The keys of the parents travel as arrays, so that the SQL text depends on the selection alone.
`report` is a row per report month, with what turns a month row into that report's figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Numeric,
    Select,
    SQLColumnExpression,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import TableValuedAlias

from app.domain.sizes import MEGABYTE

ORGANIZATION = bindparam("organization_id", type_=Uuid)


@dataclass(frozen=True, slots=True)
class ReportMonth:
    """How a report reads month rows.

    Attributes:
        month: First day of the report month.
        rows_month: First day of the month whose rows it reads; None when there are none yet.
        carried: Whether those rows are of an earlier month: then stocks stand, and no flow has.
        elapsed_microseconds: From the month's start to the report's end.
        remaining_microseconds: From the report's end to the month's end.
        ui_measured: Whether UI usage was ever recorded before the report's end.
        sdk_measured: The same of SDK usage.
    """

    month: date
    rows_month: date | None
    carried: bool
    elapsed_microseconds: int
    remaining_microseconds: int
    ui_measured: bool
    sdk_measured: bool


_REPORT_COLUMNS: Mapping[str, Any] = {
    "month": Date,
    "rows_month": Date,
    "carried": Boolean,
    "elapsed_microseconds": BigInteger,
    "remaining_microseconds": BigInteger,
    "ui_measured": Boolean,
    "sdk_measured": Boolean,
}


def report_parameters(reports: Sequence[ReportMonth]) -> dict[str, Any]:
    """What `report` is bound to."""
    return {
        f"report_{name}": [getattr(report, name) for report in reports] for name in _REPORT_COLUMNS
    }


def reports() -> TableValuedAlias:
    """`report`: the report months of the request."""
    return _arrays(
        "report", {name: (f"report_{name}", kind) for name, kind in _REPORT_COLUMNS.items()}
    )


def parents(keys: Mapping[str, Any]) -> TableValuedAlias:
    """`parent`: the keys of all parents, numbered from 1 by `ordinal`, bound as `parent_<key>`."""
    return _arrays("parent", {name: (f"parent_{name}", kind) for name, kind in keys.items()})


def _arrays(name: str, columns: Mapping[str, tuple[str, Any]]) -> TableValuedAlias:
    arrays = [bindparam(bound, type_=ARRAY(kind)) for bound, kind in columns.values()]
    typed = [column(key, kind) for key, (_, kind) in columns.items()]
    return (
        func.unnest(*arrays)
        .table_valued(*typed, with_ordinality="ordinal")
        .render_derived(name=name)
    )


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows: by `value`, and then by a `key` that no two of one parent share."""

    value: Any
    key: Any
    descending: bool = False

    @property
    def clauses(self) -> tuple[ColumnElement[Any], ...]:
        """For ORDER BY."""
        return (self.value.desc() if self.descending else self.value.asc(), self.key.asc())


@dataclass(frozen=True, slots=True)
class Page:
    """A part of each parent's rows: at most `first` of those that come after the key `after`."""

    first: int | None = None
    after: Any = None


ALL = Page()


@dataclass(frozen=True, slots=True)
class Level:
    """What the rows of a level are drawn from.

    Attributes:
        table: The month table.
        parent: The keys of the parents, by `ordinal`.
        within: The columns that a row shares with its parent, beside the month.
    """

    table: Any
    parent: TableValuedAlias
    report: TableValuedAlias
    within: tuple[str, ...]

    @classmethod
    def of(cls, table: Any, *within: str) -> Self:
        """Rows of a month table, for parents that are reports, or workspaces of reports."""
        keys = {"month": Date, **dict.fromkeys(within, Uuid)}
        return cls(table, parents(keys), reports(), within)

    @property
    def existing(self) -> ColumnElement[bool]:
        """Things that exist at the report's end."""
        return and_(self.table.present)

    @property
    def former(self) -> ColumnElement[bool]:
        """Things that exist no longer, and still have figures in the month."""
        row = self.table
        flowed = (row.experiments_created != 0) | (row.byte_microseconds != 0)
        return and_(
            row.present.is_(False), (row.experiments != 0) | (~self.report.c.carried & flowed)
        )

    def rows_of(self, table: Any) -> ColumnElement[bool]:
        """The rows of a month table that lie within the parent."""
        return and_(
            table.organization_id == ORGANIZATION,
            table.month == self.report.c.rows_month,
            *(getattr(table, name) == self.parent.c[name] for name in self.within),
        )

    def select(
        self,
        columns: Sequence[ColumnElement[Any]],
        condition: ColumnElement[bool],
        order: Order,
        page: Page = ALL,
        *,
        joined: Any = None,
    ) -> Select[Any]:
        """The parent's ordinal, then `columns`: by parent, and within it in `order`.

        Of a page, no more rows are read than it has.
        """
        rows = self.table.__table__ if joined is None else joined
        where = and_(self.rows_of(self.table), condition, self._beyond(order, page.after))
        parent = self.parent.join(self.report, self.report.c.month == self.parent.c.month)
        ordinal = self.parent.c.ordinal
        if page.first is None:
            return (
                select(ordinal, *columns)
                .select_from(parent.join(rows, where))
                .order_by(ordinal, *order.clauses)
            )
        limited = (
            select(*columns, func.row_number().over(order_by=order.clauses).label("rank"))
            .select_from(rows)
            .where(where)
            .order_by(*order.clauses)
            .limit(bindparam("first", page.first, type_=BigInteger))
            .lateral("page")
        )
        return (
            select(ordinal, *(limited.c[str(item.key)] for item in columns))
            .select_from(parent.join(limited, true()))
            .order_by(ordinal, limited.c.rank)
        )

    def _beyond(self, order: Order, after: Any) -> ColumnElement[bool]:
        if after is None:
            return true()
        key = bindparam("after", after, type_=order.key.type)
        if order.value is order.key:
            return and_(order.key > key)
        last = aliased(self.table)
        value = (
            select(getattr(last, order.value.key))
            .where(self.rows_of(last), getattr(last, order.key.key) == key)
            .correlate(self.parent, self.report)
            .scalar_subquery()
        )
        further = order.value < value if order.descending else order.value > value
        return or_(further, and_(order.value == value, order.key > key))


def figures(table: Any, report: TableValuedAlias) -> dict[str, SQLColumnExpression[Any]]:
    """The storage figures of a month row, as its report shows them.

    `average_hundredths` is the average over the month so far, in hundredths of a MB, half up.
    """
    held = case(
        (report.c.carried, table.size_bytes * cast(report.c.elapsed_microseconds, Numeric)),
        else_=table.byte_microseconds
        - table.size_bytes * cast(report.c.remaining_microseconds, Numeric),
    )
    unit = func.greatest(report.c.elapsed_microseconds, 1) * cast(
        literal_column(str(MEGABYTE)), Numeric
    )
    return {
        "experiments": table.experiments,
        "experiments_created": _flow(table.experiments_created, report),
        "size_bytes": table.size_bytes,
        "average_hundredths": cast(func.div(200 * held + unit, 2 * unit), BigInteger),
    }


def _flow(value: Any, report: TableValuedAlias) -> ColumnElement[Any]:
    return case((report.c.carried, 0), else_=value)


def measured(value: Any, channel_measured: Any, report: TableValuedAlias) -> ColumnElement[Any]:
    """A usage count: null where nothing measures its channel."""
    return case((channel_measured, _flow(value, report)))


def flow_instant(value: Any, report: TableValuedAlias) -> ColumnElement[Any]:
    """The last moment of something within the month; null in a month that saw nothing."""
    return case((report.c.carried, None), else_=value)


def selected(
    available: Mapping[str, SQLColumnExpression[Any]], selection: frozenset[str]
) -> list[ColumnElement[Any]]:
    """Those columns that a selection needs, labelled; no other is computed."""
    return [value.label(name) for name, value in available.items() if name in selection]


EVERY: ColumnElement[bool] = true()
"""The condition that every row meets."""


def containing(text_column: Any, part: str) -> ColumnElement[bool]:
    """Rows with that part in the column, upper and lower case alike; no character is special.

    The column's collation knows the case of ASCII letters alone, the database's that of all.
    """
    folded = func.lower(text_column.collate("default"))
    return func.strpos(folded, func.lower(part)) > 0


Statement = Select[Any]
"""A level's statement, for those who run it and do not compose it."""
