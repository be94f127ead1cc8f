"""The sums over a range of months: one row for each workspace, project, user or cost centre."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from app.db.orders import Sorting
from app.db.ranges import RangeList
from app.domain.charges import MonthCharges
from app.domain.months import Month
from app.domain.sections import Section, SectionOrder
from app.export.amounts import list_cost_centres
from app.export.rows import SUM_CLASSES, CostCentreSum, ExportRow, RowType
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.ranges import RangeKey, rows_of_ranges, sum_amounts, totals_of_ranges
from resolvers.rows import Selection

_CHUNK_ROWS = 2_000
_LISTS: Mapping[Section, RangeList] = {
    Section.WORKSPACE: RangeList.WORKSPACES,
    Section.PROJECT: RangeList.PROJECTS,
    Section.USER: RangeList.USERS,
}
_TYPES: Mapping[Section, tuple[RowType, RowType]] = {
    Section.WORKSPACE: (RowType.DELETED_WORKSPACE, RowType.WORKSPACE),
    Section.PROJECT: (RowType.DELETED_PROJECT, RowType.PROJECT),
    Section.USER: (RowType.UNLICENSED_USER, RowType.USER),
}
_NAMES: Mapping[Section, str] = {
    Section.WORKSPACE: "workspace",
    Section.PROJECT: "project",
    Section.USER: "username",
}
SUM_ORDERS: Mapping[SectionOrder, str] = {
    SectionOrder.NAME: "NAME",
    SectionOrder.AVERAGE: "AVERAGE_SIZE",
    SectionOrder.CREATED: "EXPERIMENTS_CREATED",
}
"""The orders of sums, and what `rows_of_ranges` calls them."""


class SumQuery(NamedTuple):
    """Which sums to list: at most `first` rows after `skip`; the total covers all."""

    section: Section
    order: SectionOrder
    is_descending: bool | None = None
    first: int | None = None
    skip: int = 0


async def read_sums(
    context: Context, key: RangeKey, query: SumQuery
) -> tuple[int, Sequence[ExportRow]]:
    """Return how many rows a section has in a range, and its rows, which end with the total."""
    months = [window.month for window in key[1]]
    if query.section is Section.COST_CENTRE:
        return await _sum_cost_centres(context, key, months, query)
    list_ = _LISTS[query.section]
    sorting = Sorting(SUM_ORDERS[query.order], query.is_descending)
    selection: Selection = frozenset()
    found = await rows_of_ranges(context, [key], selection, list_, sorting=sorting)
    amounts = await sum_amounts(context, key, list_)
    currency = amounts.currency and amounts.currency.code
    to_row = _row_builder(query.section, found.columns, months[0], months[-1])
    rows = found.groups[0]
    last = None if query.first is None else query.skip + query.first
    id_ = found.columns["id"]
    shown = [
        to_row(row)._replace(amount=amounts.amount_of(row[id_]), currency=currency)
        for row in rows[query.skip : last]
    ]
    totals = await totals_of_ranges(context, [key], selection)
    total = _row_builder(query.section, totals.columns, months[0], months[-1])(totals.groups[0][0])
    return len(rows), [*shown, total._replace(amount=amounts.total, currency=currency)]


async def chunk_rows(rows: Sequence[ExportRow]) -> AsyncGenerator[Sequence[ExportRow], None]:
    """Yield rows, some at a time."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        yield rows[start : start + _CHUNK_ROWS]


def _row_builder(
    section: Section, columns: Mapping[str, int], first: Month, last: Month
) -> Callable[[Sequence[Any]], Any]:
    """Return a function that makes a sum of a row of the store, or of that with the totals."""
    row_class: Any = SUM_CLASSES[section]
    sources = {_NAMES[section]: "name", "licensed_months": "licences"}
    copied = {
        field: columns[source]
        for field in row_class._fields
        if (source := sources.get(field, field)) in columns and field not in _AMOUNTS
    }
    exists, average = columns.get("exists"), columns["average_hundredths"]

    def to_row(row: Sequence[Any]) -> Any:
        type_ = RowType.TOTAL if exists is None else _TYPES[section][bool(row[exists])]
        hundredths = row[average]
        return row_class(type_, first, last)._replace(
            **{field: row[position] for field, position in copied.items()},
            average_size_in_mb=None if hundredths is None else hundredths / 100,
        )

    return to_row


_AMOUNTS = frozenset(("amount", "currency"))


async def _sum_cost_centres(
    context: Context, key: RangeKey, months: Sequence[Month], query: SumQuery
) -> tuple[int, Sequence[ExportRow]]:
    charges = [await charges_of_report(context, (key[0], window)) for window in key[1]]
    known = [each for each in charges if each is not None]
    if not known:
        return 0, []
    whole = MonthCharges(
        months[-1],
        known[-1].currency,
        [line for each in known for line in each.lines],
        {code: name for each in known for code, name in each.cost_centre_names.items()},
    )
    listed = list_cost_centres(
        months[-1],
        whole,
        None,
        order=query.order,
        is_descending=query.is_descending,
        first=query.first,
        is_compared=False,
    )
    rows: list[ExportRow] = [
        CostCentreSum(row.type, months[0], months[-1], *row[3:7]) for row in listed
    ]
    return len(whole.by_cost_centre), rows
