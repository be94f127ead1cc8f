"""The orders of a list's rows, and its pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, func, inspect, select
from sqlalchemy.orm import aliased

from app.db.figures import average_hundredths, compute_byte_microseconds, number
from app.db.report_windows import ORGANIZATION, Report, other_report

Figure = Callable[[Any, Report], ColumnElement[Any]]
"""Returns a figure of a month table, or of an alias of it, as a report shows it."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows: by a figure, then by `key`, which is unique among a parent's rows.

    Attributes:
        key: The name of the key column.
        figure: The figure; None orders by the key alone.
        descending: Whether the largest figure comes first. Ties are always in ascending order.
        is_compared: Whether the figure depends on the report that each is compared with.
    """

    key: str
    figure: Figure | None = None
    descending: bool = False
    is_compared: bool = False

    def value(self, table: Any, report: Report) -> ColumnElement[Any]:
        """Return what a row is ordered by."""
        key: ColumnElement[Any] = getattr(table, self.key)
        return key if self.figure is None else self.figure(table, report)

    def clauses(self, table: Any, report: Report) -> tuple[ColumnElement[Any], ...]:
        """Return the terms of ORDER BY."""
        value = self.value(table, report)
        directed = value.desc() if self.descending else value.asc()
        if self.figure is None:
            return (directed,)
        return (directed, getattr(table, self.key).asc())


GROWTH = "GROWTH"
"""The order that compares with the month before."""


class Sorting(NamedTuple):
    """The name of an order, and its direction; None is the order's own direction."""

    order: str
    is_descending: bool | None = None

    def choose(self, orders: Mapping[str, Order]) -> Order:
        """Return the order of that name, in this direction."""
        order = orders[self.order]
        if self.is_descending is None:
            return order
        return replace(order, descending=self.is_descending)


BY_NAME = Sorting("NAME")
BY_USERNAME = Sorting("USERNAME")


def by_column(name: str) -> Figure:
    """Return the figure that is a column of the month table."""
    return lambda table, _: getattr(table, name)


def average_size(table: Any, report: Report) -> ColumnElement[Any]:
    """Return the exact storage held in the month; 0 if the month's flows are unknown."""
    return case((report.c.flows_known, compute_byte_microseconds(table, report)), else_=number(0))


def growth(identity: Sequence[str]) -> Figure:
    """Return the figure: how much the average size grew, in hundredths of a MB.

    `identity` names the columns that identify an entity in every month. An entity without a row in
    the other month counts as 0 there, and so does every entity in a month of unknown flows.
    """

    def figure(table: Any, report: Report) -> ColumnElement[Any]:
        earlier, other = aliased(inspect(table).mapper.class_), other_report(report)
        before = (
            select(_compute_average(earlier, other))
            .where(
                earlier.organization_id == ORGANIZATION,
                earlier.month == other.c.rows_month,
                *(getattr(earlier, name) == getattr(table, name) for name in identity),
            )
            .correlate_except(earlier)
            .scalar_subquery()
        )
        return _compute_average(table, report) - func.coalesce(before, number(0))

    return figure


def orders_by_storage(key: str, *, identity: Sequence[str]) -> Mapping[str, Order]:
    """Return the orders by a figure of storage, the largest first.

    Args:
        key: The column that sorts ties, unique among a parent's rows.
        identity: The columns that identify an entity in every month.
    """
    figures = {
        "SIZE": by_column("size_bytes"),
        "EXPERIMENTS": by_column("experiments"),
        "AVERAGE_SIZE": average_size,
    }
    orders = {name: Order(key, figure, descending=True) for name, figure in figures.items()}
    growing = Order(key, growth(identity), descending=True, is_compared=True)
    return {**orders, GROWTH: growing}


def _compute_average(table: Any, report: Report) -> ColumnElement[Any]:
    average = average_hundredths(compute_byte_microseconds(table, report), report)
    return case((report.c.flows_known, average), else_=number(0))


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
