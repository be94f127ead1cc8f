"""Compose the statement that reads one nesting level for all of its parents.

The keys of the parents are array parameters, so the SQL text depends on the selection alone.
`report` supplies what turns a month row into the figures of a report. For a single report these
are plain parameters, so PostgreSQL can plan for that month; for several, a row per report month.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Double,
    FromClause,
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
class ReportWindow:
    """How a report reads month rows.

    Attributes:
        month: First day of the report month.
        rows_month: First day of the month whose rows the report reads; None if there are none yet.
        carried: Whether these rows belong to an earlier month. Stocks then carry over, and the
            flows of the report month are zero.
        elapsed_microseconds: From the month's start to the report's end.
        remaining_microseconds: From the report's end to the month's end.
        ui_measured: Whether any UI usage was recorded before the report's end.
        sdk_measured: Whether any SDK usage was recorded before the report's end.
        flows_known: False for a month that an imported report states. Such a report gives the
            stocks at the month's end, but neither what was created in the month nor averages.
        closed: Whether the month is closed, so that its charges are those that the close booked.
        revision: Counts the changes of the organization; equal revisions have equal figures.
    """

    month: date
    rows_month: date | None
    carried: bool
    elapsed_microseconds: int
    remaining_microseconds: int
    ui_measured: bool
    sdk_measured: bool
    flows_known: bool
    closed: bool = False
    revision: int = 0


_REPORT_COLUMNS: Mapping[str, Any] = {
    "month": Date,
    "rows_month": Date,
    "carried": Boolean,
    "elapsed_microseconds": BigInteger,
    "remaining_microseconds": BigInteger,
    "ui_measured": Boolean,
    "sdk_measured": Boolean,
    "flows_known": Boolean,
}


def bind_reports(reports: Sequence[ReportWindow], *, one: bool) -> dict[str, Any]:
    """Return the values of the parameters that `report` uses."""
    values = {name: [getattr(report, name) for report in reports] for name in _REPORT_COLUMNS}
    return {f"report_{name}": found[0] if one else found for name, found in values.items()}


class OneReport:
    """`report` for a single report: each column is a parameter."""

    def __init__(self) -> None:
        self.c = SimpleNamespace(
            **{
                name: bindparam(f"report_{name}", type_=kind)
                for name, kind in _REPORT_COLUMNS.items()
            }
        )


Report = OneReport | TableValuedAlias


def reports() -> TableValuedAlias:
    """Return `report` for several reports: one row for each."""
    return _unnest_arrays(
        "report", {name: (f"report_{name}", kind) for name, kind in _REPORT_COLUMNS.items()}
    )


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


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows: by `value`, then by `key`, which is unique among a parent's rows."""

    value: Any
    key: Any
    descending: bool = False

    @property
    def clauses(self) -> tuple[ColumnElement[Any], ...]:
        """The terms of ORDER BY."""
        return (self.value.desc() if self.descending else self.value.asc(), self.key.asc())


class Paging(NamedTuple):
    """The parts of a page that change the SQL text.

    Attributes:
        is_limited: Whether the page has a limit.
        has_cursor: Whether it continues after a cursor.
        is_counted: Whether each parent's rows are counted, on all pages together.
    """

    is_limited: bool = False
    has_cursor: bool = False
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page of each parent's rows: at most `first` rows after the row whose key is `after`."""

    first: int | None = None
    after: Any = None
    is_counted: bool = False

    @property
    def paging(self) -> Paging:
        """Which parts the page has."""
        return Paging(self.first is not None, self.after is not None, self.is_counted)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the statement's parameters."""
        return {"first": self.first, "after": self.after}


ALL_ROWS = Page()
UNPAGED = Paging()


@dataclass(frozen=True, slots=True)
class LevelQuery:
    """A query of a month table for the rows of one level.

    Attributes:
        table: The month table.
        parent: The keys of the parents, with `ordinal`; None if a report is the only parent.
        report: Supplies the report's columns; see the module.
        within: The columns that join a row to its parent, besides the month.
    """

    table: Any
    parent: FromClause | None
    report: Report
    within: tuple[str, ...]

    @classmethod
    def of(cls, table: Any, *within: str, one_report: bool) -> Self:
        """Query for bound parents: reports, or workspaces or users of reports."""
        keys = dict.fromkeys(within, Uuid)
        if one_report:
            return cls(table, parents(keys) if keys else None, OneReport(), within)
        return cls(table, parents({"month": Date, **keys}), reports(), within)

    @classmethod
    def of_each(cls, table: Any, key: str, of: Any, order: Order) -> Self:
        """Query for all parents that exist in one report.

        Args:
            table: The month table.
            key: The key column of the parents.
            of: The month table of the parents.
            order: The order in which the parents are numbered.
        """
        above = cls.of(of, one_report=True)
        ordinal = func.row_number().over(order_by=order.clauses).label("ordinal")
        parent = (
            select(getattr(of, key), ordinal)
            .where(above.rows_of(of), above.existing)
            .subquery("parent")
        )
        return cls(table, parent, above.report, (key,))

    @property
    def existing(self) -> ColumnElement[bool]:
        """The condition for rows of entities that exist at the report's end."""
        return and_(self.table.present)

    @property
    def former(self) -> ColumnElement[bool]:
        """The condition for rows of past entities that have figures in the month."""
        row = self.table
        flowed = (row.experiments_created != 0) | (row.byte_microseconds != 0)
        return and_(
            row.present.is_(False), (row.experiments != 0) | (~self.report.c.carried & flowed)
        )

    @property
    def charged(self) -> ColumnElement[bool]:
        """Everything with figures in the month: what exists at its end, and what is former."""
        return or_(self.existing, self.former)

    def rows_of(self, table: Any) -> ColumnElement[bool]:
        """Return the condition that joins a month table to the organization, month and parent."""
        return and_(
            table.organization_id == ORGANIZATION,
            table.month == self.report.c.rows_month,
            *self._of_parent(table),
        )

    def _of_parent(self, table: Any) -> Iterator[ColumnElement[bool]]:
        if self.parent is not None:
            for name in self.within:
                yield getattr(table, name) == self.parent.c[name]

    def select(
        self,
        columns: Sequence[ColumnElement[Any]],
        condition: ColumnElement[bool],
        order: Order,
        paging: Paging = UNPAGED,
        *,
        from_clause: Any = None,
    ) -> Select[Any]:
        """Select the parent's ordinal, then `columns`, sorted by parent and then by `order`.

        A page reads no more rows than it returns; its parameters are `first` and `after`. See
        `select_pages` for the columns of a counted one.
        """
        rows = self.table.__table__ if from_clause is None else from_clause
        where = and_(self.rows_of(self.table), condition, self._after_cursor(order, paging))
        if not paging.is_limited and not paging.is_counted:
            return self._join_parents(rows, where, columns, order.clauses)
        page = select_page(columns, order.clauses, paging).select_from(rows).where(where)
        all_rows = select(TOTAL_COUNT).where(self.rows_of(self.table), condition)
        total = all_rows if paging.is_counted else None
        return select_pages(self._parents, self._ordinal, page, total)

    def _join_parents(
        self, rows: Any, where: ColumnElement[bool], columns: Sequence[Any], order: Sequence[Any]
    ) -> Select[Any]:
        """Select rows with the ordinal of their parent, sorted by ordinal and then by `order`."""
        if self._parents is None:
            return select(self._ordinal, *columns).select_from(rows).where(where).order_by(*order)
        return (
            select(self._ordinal, *columns)
            .select_from(self._parents.join(rows, where))
            .order_by(self._ordinal, *order)
        )

    @property
    def _parents(self) -> FromClause | None:
        """The parents, joined to their report if it is no parameter."""
        if self.parent is None or not isinstance(self.report, TableValuedAlias):
            return self.parent
        return self.parent.join(self.report, self.report.c.month == self.parent.c.month)

    @property
    def _ordinal(self) -> ColumnElement[int]:
        if self.parent is None:
            return literal_column("1", BigInteger).label("ordinal")
        return self.parent.c.ordinal

    def _after_cursor(self, order: Order, paging: Paging) -> ColumnElement[bool]:
        if not paging.has_cursor:
            return true()
        key = bindparam("after", type_=order.key.type)
        if order.value is order.key:
            return and_(order.key > key)
        last = aliased(self.table)
        outer = [each for each in (self.parent, self.report) if isinstance(each, TableValuedAlias)]
        found = select(getattr(last, order.value.key)).where(
            self.rows_of(last), getattr(last, order.key.key) == key
        )
        value = (found.correlate(*outer) if outer else found).scalar_subquery()
        further = order.value < value if order.descending else order.value > value
        # `onward` follows from the other condition; it lets an index skip the earlier rows.
        onward = order.value <= value if order.descending else order.value >= value
        return and_(onward, or_(further, and_(order.value == value, order.key > key)))


TOTAL_COUNT = func.count().label("total_count")


def select_page(
    columns: Sequence[ColumnElement[Any]], order: Sequence[ColumnElement[Any]], paging: Paging
) -> Select[Any]:
    """Select `columns` and the `rank` of at most `first` rows; the caller adds FROM and WHERE."""
    rank = func.row_number().over(order_by=order).label("rank")
    page = select(*columns, rank).order_by(*order)
    return page.limit(bindparam("first", type_=BigInteger)) if paging.is_limited else page


def select_pages(
    parents: FromClause | None,
    ordinal: ColumnElement[int],
    page: Select[Any],
    total: Select[Any] | None,
) -> Select[Any]:
    """Select the page of each parent: `ordinal`, then the page's columns, sorted by both.

    With `total`, each row also has the `total_count` of its parent, and a parent whose page is
    empty has one row, in which `rank` is null.
    """
    rows: Any = page.subquery("page") if parents is None else page.lateral("page")
    columns, source = [each for each in rows.c if each is not rows.c.rank], rows
    if total is not None:
        counted = total.subquery("total") if parents is None else total.lateral("total")
        columns, source = [*columns, rows.c.rank, *counted.c], counted.outerjoin(rows, true())
    source = source if parents is None else parents.join(source, true())
    order = [rows.c.rank] if parents is None else [ordinal, rows.c.rank]
    return select(ordinal, *columns).select_from(source).order_by(*order)


def limit_rows(statement: Select[Any]) -> Select[Any]:
    """Select `first` rows after the first `skip`."""
    first, skip = (bindparam(name, type_=BigInteger) for name in ("first", "skip"))
    return statement.limit(first).offset(skip)


def storage_columns(table: Any, report: Report) -> dict[str, SQLColumnExpression[Any]]:
    """Return the experiment figures of a month row, as its report shows them, by column name.

    `size_in_mb` is rounded half up to two decimals, as `app.domain.sizes.to_megabytes` does.
    `byte_microseconds` is exact. `average_hundredths` is the average over the month so far, in
    hundredths of a MB, rounded half up. Both and `experiments_created` are null if the month's
    flows are unknown.
    """
    held = case(
        (report.c.carried, table.size_bytes * report.c.elapsed_microseconds),
        else_=table.byte_microseconds - table.size_bytes * report.c.remaining_microseconds,
    )
    size_bytes = to_bigint(table.size_bytes)
    return {
        "experiments": table.experiments,
        "unmeasured": table.unmeasured,
        "experiments_created": flow_if_measured(
            table.experiments_created, report.c.flows_known, report
        ),
        "size_bytes": size_bytes,
        "size_in_mb": _megabytes(size_bytes),
        "byte_microseconds": case((report.c.flows_known, held)),
        "average_hundredths": case((report.c.flows_known, average_hundredths(held, report))),
    }


def to_bigint(sum_: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a sum as the 64-bit number that JSON and files hold, at most the largest one."""
    largest = literal_column(str(_MAX_BIGINT), Numeric)
    return cast(func.greatest(func.least(sum_, largest), -largest), BigInteger)


_MAX_BIGINT = 2**63 - 1


def average_hundredths(byte_microseconds: Any, report: Report) -> ColumnElement[int]:
    """Return the average over the month so far, in hundredths of a MB, rounded half up."""
    unit = func.greatest(report.c.elapsed_microseconds, 1) * cast(
        literal_column(str(MEGABYTE)), Numeric
    )
    return cast(func.div(200 * byte_microseconds + unit, 2 * unit), BigInteger)


def _megabytes(size_bytes: Any) -> ColumnElement[float]:
    """Convert bytes to megabytes; whole megabytes are split off so that nothing overflows."""
    whole = size_bytes.bitwise_rshift(_number(20))
    rest = size_bytes.bitwise_and(_number(MEGABYTE - 1))
    rounded = (_number(200) * rest + _number(MEGABYTE)).bitwise_rshift(_number(21))
    hundredths = cast(_number(100) * whole + rounded, Double)
    return hundredths.op("/", return_type=Double())(_number(100))


def _number(constant: int) -> ColumnElement[int]:
    """Return a constant that becomes part of the SQL text."""
    return literal_column(str(constant), BigInteger)


def _flow(value: Any, report: Report) -> ColumnElement[Any]:
    """Return a flow of the report month; 0 if its rows belong to an earlier month."""
    return case((report.c.carried, 0), else_=value)


def flow_if_measured(value: Any, is_measured: Any, report: Report) -> ColumnElement[Any]:
    """Return a flow of the report month, or null if no source measures it."""
    return case((is_measured, _flow(value, report)))


def flow_instant(value: Any, report: Report) -> ColumnElement[Any]:
    """Return when something last happened in the report month; null if it did not happen."""
    return case((report.c.carried, None), else_=value)


def select_columns(
    available: Mapping[str, SQLColumnExpression[Any]], selection: frozenset[str]
) -> list[ColumnElement[Any]]:
    """Return the selected columns, labelled; the statement computes no others."""
    return [value.label(name) for name, value in available.items() if name in selection]


def contains_text(text_column: Any, part: Any) -> ColumnElement[bool]:
    """Return the condition for rows whose column contains a text, ignoring case.

    No character of the text is a wildcard. The columns have the collation "C", which folds only
    ASCII letters, so the comparison uses the database's default collation.
    """
    folded = func.lower(text_column.collate("default"))
    return func.strpos(folded, func.lower(part)) > 0
