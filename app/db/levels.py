"""Compose the statement that reads one nesting level for all of its parents.

The keys of the parents are array parameters, so the SQL text depends on the selection alone.
`report` supplies what turns a month row into the figures of a report. For a single report these
are plain parameters, so PostgreSQL can plan for that month; for several, a row per report month.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Select,
    SQLColumnExpression,
    Uuid,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import TableValuedAlias

from app.db.orders import UNPAGED, Order, Paging
from app.db.report_windows import ORGANIZATION, OneReport, Report, other_report, parents, reports


class Existence(Enum):
    """Which entities a list shows: those at the report's end, former ones, or both."""

    EXISTING = auto()
    FORMER = auto()
    ANY = auto()


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
    def of(cls, table: Any, *within: str, one_report: bool, is_compared: bool = False) -> Self:
        """Query for bound parents: reports, or workspaces or users of reports.

        With `is_compared`, `report` also has the columns of the report that each is compared with.
        """
        keys = dict.fromkeys(within, Uuid)
        if one_report:
            return cls(table, parents(keys) if keys else None, OneReport(), within)
        several = reports(compared=is_compared)
        return cls(table, parents({"month": Date, **keys}), several, within)

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
        clauses = order.clauses(of, above.report)
        ordinal = func.row_number().over(order_by=clauses).label("ordinal")
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

    def has_figures(self) -> ColumnElement[bool]:
        """Return the condition for rows of entities that exist at the end, and of former ones."""
        return or_(self.existing, self.former)

    def matches(self, existence: Existence) -> ColumnElement[bool]:
        """Return the condition for rows of the entities that a list shows."""
        if existence is Existence.EXISTING:
            return self.existing
        return self.former if existence is Existence.FORMER else self.has_figures()

    def gone(
        self, is_listed: Callable[["LevelQuery"], ColumnElement[bool]], *identity: str
    ) -> ColumnElement[bool]:
        """Return the condition for rows that are listed, but not in the report compared with.

        Args:
            is_listed: Returns the condition for rows that a report lists.
            identity: The columns that identify an entity in every month.
        """
        now = LevelQuery(aliased(self.table), None, other_report(self.report), ())
        same = (getattr(now.table, name) == getattr(self.table, name) for name in identity)
        found: Select[Any] = select(literal_column("1")).where(
            now.rows_of(now.table), is_listed(now), *same
        )
        return and_(is_listed(self), ~found.correlate_except(now.table).exists())

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
        clauses = order.clauses(self.table, self.report)
        if not paging.is_limited and not paging.is_counted:
            return self._join_parents(rows, where, columns, clauses)
        page = select_page(columns, clauses, paging).select_from(rows).where(where)
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
        own_key = getattr(self.table, order.key)
        key = bindparam("after", type_=own_key.type)
        if order.figure is None:
            return and_(own_key < key if order.descending else own_key > key)
        last = aliased(self.table)
        outer = [each for each in (self.parent, self.report) if isinstance(each, TableValuedAlias)]
        found = select(order.value(last, self.report)).where(
            self.rows_of(last), getattr(last, order.key) == key
        )
        value = (found.correlate(*outer) if outer else found).scalar_subquery()
        own = order.value(self.table, self.report)
        further = own < value if order.descending else own > value
        # `onward` follows from the other condition; it lets an index skip the earlier rows.
        onward = own <= value if order.descending else own >= value
        return and_(onward, or_(further, and_(own == value, own_key > key)))


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
    columns = [each for each in rows.c if each is not rows.c.rank]
    if total is None:
        source = rows if parents is None else parents.join(rows, true())
    else:
        counted: Any = total.subquery("total") if parents is None else total.lateral("total")
        columns = [*columns, rows.c.rank, *counted.c]
        source = counted if parents is None else parents.join(counted, true())
        source = source.outerjoin(rows, true())
    order = [rows.c.rank] if parents is None else [ordinal, rows.c.rank]
    return select(ordinal, *columns).select_from(source).order_by(*order)


def limit_rows(statement: Select[Any]) -> Select[Any]:
    """Select `first` rows after the first `skip`."""
    first, skip = (bindparam(name, type_=BigInteger) for name in ("first", "skip"))
    return statement.limit(first).offset(skip)


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
