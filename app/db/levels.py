"""How one nesting level is read: one statement for all parents, whatever their number.

The keys of the parents travel as arrays, so that the SQL text depends on the selection alone.
`report` says what turns a month row into a report's figures: parameters, when all parents belong
to one report, which lets the server plan for the month that it is; else a row per report month.
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
        rows_month: First day of the month whose rows it reads; None when there are none yet.
        carried: Whether those rows are of an earlier month: then stocks stand, and no flow has.
        elapsed_microseconds: From the month's start to the report's end.
        remaining_microseconds: From the report's end to the month's end.
        ui_measured: Whether UI usage was ever recorded before the report's end.
        sdk_measured: The same of SDK usage.
        flows_known: False of a month that an imported report states: it says how the month ended,
            not what was created in it, nor for how long it was held.
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


def report_parameters(reports: Sequence[ReportWindow], *, one: bool) -> dict[str, Any]:
    """What `report` is bound to."""
    values = {name: [getattr(report, name) for report in reports] for name in _REPORT_COLUMNS}
    return {f"report_{name}": found[0] if one else found for name, found in values.items()}


class OneReport:
    """`report` when there is one: its columns are parameters."""

    def __init__(self) -> None:
        self.c = SimpleNamespace(
            **{
                name: bindparam(f"report_{name}", type_=kind)
                for name, kind in _REPORT_COLUMNS.items()
            }
        )


Report = OneReport | TableValuedAlias


def reports() -> TableValuedAlias:
    """`report` when there are several: a row for each."""
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


class Paging(NamedTuple):
    """What of a page shows in the statement: whether it is limited, and goes on after a key."""

    limited: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of each parent's rows: at most `first` of those that come after the key `after`."""

    first: int | None = None
    after: Any = None

    @property
    def paging(self) -> Paging:
        """The page without its values."""
        return Paging(self.first is not None, self.after is not None)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Its values."""
        return {"first": self.first, "after": self.after}


ALL = Page()
UNPAGED = Paging()


@dataclass(frozen=True, slots=True)
class Level:
    """What the rows of a level are drawn from.

    Attributes:
        table: The month table.
        parent: The keys of the parents, by `ordinal`; None when a report is the only parent.
        within: The columns that a row shares with its parent, beside the month.
    """

    table: Any
    parent: FromClause | None
    report: Report
    within: tuple[str, ...]

    @classmethod
    def of(cls, table: Any, *within: str, one_report: bool) -> Self:
        """Rows of a month table, for parents that are reports, or workspaces of reports."""
        keys = dict.fromkeys(within, Uuid)
        if one_report:
            return cls(table, parents(keys) if keys else None, OneReport(), within)
        return cls(table, parents({"month": Date, **keys}), reports(), within)

    @classmethod
    def of_each(cls, table: Any, key: str, of: Any, order: Order) -> Self:
        """Rows of a month table, for all parents that exist in one report.

        Args:
            table: The month table.
            key: The key of its parents.
            of: The month table of the parents.
            order: Theirs; by it they are numbered.
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
        joined: Any = None,
    ) -> Select[Any]:
        """The parent's ordinal, then `columns`: by parent, and within it in `order`.

        Of a page, no more rows are read than it has: parameters `first` and `after`.
        """
        rows = self.table.__table__ if joined is None else joined
        where = and_(self.rows_of(self.table), condition, self._beyond(order, paging))
        if not paging.limited:
            return self._of_parents(rows, where, columns, order.clauses)
        rank = func.row_number().over(order_by=order.clauses).label("rank")
        page = (
            select(*columns, rank)
            .select_from(rows)
            .where(where)
            .order_by(*order.clauses)
            .limit(bindparam("first", type_=BigInteger))
        )
        if self.parent is None:
            limited = page.subquery("page")
            return self._of_parents(limited, true(), _same(limited, columns), [limited.c.rank])
        lateral = page.lateral("page")
        return self._of_parents(lateral, true(), _same(lateral, columns), [lateral.c.rank])

    def _of_parents(
        self, rows: Any, where: ColumnElement[bool], columns: Sequence[Any], order: Sequence[Any]
    ) -> Select[Any]:
        """Rows with the ordinals of their parents, by these and then in an order."""
        if self.parent is None:
            only = literal_column("1", BigInteger).label("ordinal")
            return select(only, *columns).select_from(rows).where(where).order_by(*order)
        source: Any = self.parent
        if isinstance(self.report, TableValuedAlias):
            source = source.join(self.report, self.report.c.month == self.parent.c.month)
        ordinal = self.parent.c.ordinal
        return (
            select(ordinal, *columns)
            .select_from(source.join(rows, where))
            .order_by(ordinal, *order)
        )

    def _beyond(self, order: Order, paging: Paging) -> ColumnElement[bool]:
        if not paging.goes_on:
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
        # The first condition follows from the other: by it an index skips what came before.
        onward = order.value <= value if order.descending else order.value >= value
        return and_(onward, or_(further, and_(order.value == value, order.key > key)))


def _same(page: Any, columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    return [page.c[str(item.key)] for item in columns]


def figures(table: Any, report: Report) -> dict[str, SQLColumnExpression[Any]]:
    """The storage figures of a month row, as its report shows them.

    `size_in_mb` is exact to two decimals, half up, as `app.domain.sizes.to_megabytes` rounds it.
    `byte_microseconds` is exact, and `average_hundredths` the average over the month so far, in
    hundredths of a MB, half up. Both and `experiments_created` are null where flows are not known.
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
        "unmeasured": table.unmeasured,
        "experiments_created": measured(table.experiments_created, report.c.flows_known, report),
        "size_bytes": table.size_bytes,
        "size_in_mb": _megabytes(table.size_bytes),
        "byte_microseconds": case((report.c.flows_known, held)),
        "average_hundredths": case(
            (report.c.flows_known, cast(func.div(200 * held + unit, 2 * unit), BigInteger))
        ),
    }


def _megabytes(size_bytes: Any) -> ColumnElement[float]:
    """Whole megabytes apart from the rest, so that 200 times a size cannot overflow."""
    whole = size_bytes.bitwise_rshift(_number(20))
    rest = size_bytes.bitwise_and(_number(MEGABYTE - 1))
    rounded = (_number(200) * rest + _number(MEGABYTE)).bitwise_rshift(_number(21))
    hundredths = cast(_number(100) * whole + rounded, Double)
    return hundredths.op("/", return_type=Double())(_number(100))


def _number(constant: int) -> ColumnElement[int]:
    """A constant within the text."""
    return literal_column(str(constant), BigInteger)


def _flow(value: Any, report: Report) -> ColumnElement[Any]:
    return case((report.c.carried, 0), else_=value)


def measured(value: Any, is_measured: Any, report: Report) -> ColumnElement[Any]:
    """A flow: null where nothing measures it."""
    return case((is_measured, _flow(value, report)))


def flow_instant(value: Any, report: Report) -> ColumnElement[Any]:
    """The last moment of something within the month; null in a month that saw nothing."""
    return case((report.c.carried, None), else_=value)


def selected(
    available: Mapping[str, SQLColumnExpression[Any]], selection: frozenset[str]
) -> list[ColumnElement[Any]]:
    """Those columns that a selection needs, labelled; no other is computed."""
    return [value.label(name) for name, value in available.items() if name in selection]


EVERY: ColumnElement[bool] = true()
"""The condition that every row meets."""


def containing(text_column: Any, part: Any) -> ColumnElement[bool]:
    """Rows with that part in the column, upper and lower case alike; no character is special.

    The column's collation knows the case of ASCII letters alone, the database's that of all.
    """
    folded = func.lower(text_column.collate("default"))
    return func.strpos(folded, func.lower(part)) > 0
