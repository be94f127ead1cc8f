"""The figures of a range of months, added up."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from app.db.orders import ALL_ROWS, BY_NAME, Page, Sorting
from app.db.ranges import RangeList, select_range_rows, select_range_totals
from app.db.report_windows import ReportWindow, bind_reports, first_days
from app.db.statements import Statement
from app.domain.charges import MonthCharges
from app.domain.money import Currency
from app.domain.months import Month
from resolvers.amounts import AMOUNT
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.corrections import corrections_of_reports
from resolvers.levels import ReportKey
from resolvers.report import fetch_reports
from resolvers.rows import Grouped, Row, Selection
from resolvers.shares import read_shares

RangeKey = tuple[UUID, tuple[ReportWindow, ...]]
"""`organization_id`, `windows`: the columns of a range that `fetch_range` returns."""


async def fetch_range(
    context: Context, organization: str | None, first: Month, last: Month
) -> Grouped:
    """Return a range of months, both ends included: one group with one row. The read is audited.

    Columns: `organization_id`, `windows` (the range's key), `first_month`, `last_month`.

    Raises:
        InvalidArgument: The range is empty or too long.
        Forbidden, InvalidMonth, OrganizationNotFound, ReportDisabled: As for `fetch_report`.

    Source: `organization`, `month_close`.
    """
    found = await fetch_reports(context, organization, first, last, frozenset())
    rows = found.groups[0]
    organization_id = rows[0][found.columns["organization_id"]]
    windows = tuple(row[found.columns["window"]] for row in rows)
    names = ("organization_id", "windows", "first_month", "last_month")
    row = (organization_id, windows, first.first_day, last.first_day)
    return Grouped({name: position for position, name in enumerate(names)}, [[row]])


async def totals_of_ranges(
    context: Context, ranges: Sequence[RangeKey], selection: Selection
) -> Grouped:
    """Return the totals of each range: one row per group.

    Columns: `experiments_created`, `byte_microseconds`, `average_hundredths`, `ui_usage_count`,
    `sdk_usage_count`, `licences`, and `amount`, all with the corrections booked in the range.

    Source: `workspace_month`, `user_month`, `correction`; the charges for `amount`.
    """
    return await _read(context, ranges, select_range_totals(), selection, None)


async def rows_of_ranges(
    context: Context,
    ranges: Sequence[RangeKey],
    selection: Selection,
    kind: RangeList,
    *,
    sorting: Sorting = BY_NAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return everything of a kind that has figures in each range, deleted things included.

    The orders are NAME, and with the largest first AVERAGE_SIZE and EXPERIMENTS_CREATED; ties are
    sorted by id. Columns, all with the corrections booked in the range:

    - `id`, `name`; of projects `workspace`
    - `exists`: whether it exists at the end of the last month
    - `experiments_created`, `byte_microseconds`, `average_hundredths`: null if an imported report
      states a month of the range
    - of users `ui_usage_count`, `sdk_usage_count`: null if no source measured the channel
    - of users `licences`: the months in which the user was licensed
    - `amount`: null when nothing is charged in the range

    Source: `workspace_month`, `project_month` or `user_month`; `correction`; the charges for
    `amount`.
    """
    statement = select_range_rows(kind, sorting=sorting, paging=page.paging)
    return await _read(context, ranges, statement, selection, kind, page.parameters)


async def corrections_of_ranges(
    context: Context, ranges: Sequence[RangeKey], selection: Selection
) -> Grouped:
    """Return the corrections that are booked in the months of each range, earliest first.

    Columns are those of `corrections_of_reports`, and `booked_month`.

    Source: `correction`.
    """
    groups: list[Sequence[Row]] = []
    columns: Mapping[str, int] = {}
    for organization_id, windows in ranges:
        reports = [(organization_id, window) for window in windows]
        found = await corrections_of_reports(context, reports, selection)
        last = max(found.columns.values()) + 1
        columns = {**found.columns, "booked_month": last}
        groups.append(
            [
                (*row, window.month)
                for window, rows in zip(windows, found.groups, strict=True)
                for row in rows
            ]
        )
    return Grouped(columns, groups)


async def _read(
    context: Context,
    ranges: Sequence[RangeKey],
    statement: Statement,
    selection: Selection,
    kind: RangeList | None,
    parameters: Mapping[str, Any] | None = None,
) -> Grouped:
    groups: list[Sequence[Row]] = []
    columns = dict(statement.columns)
    columns[AMOUNT] = len(columns)
    for organization_id, windows in ranges:
        rows = await context.snapshot.fetch_rows(
            statement,
            {**_bind(windows), **(parameters or {})},
            organization_id=organization_id,
        )
        if AMOUNT in selection:
            amounts = await sum_amounts(context, (organization_id, windows), kind)
            ids = [row[columns["id"]] if kind else None for row in rows]
            groups.append(
                [(*row, amounts.amount_of(id_)) for row, id_ in zip(rows, ids, strict=True)]
            )
        else:
            groups.append(rows)
    return Grouped(columns, groups)


def _bind(windows: Sequence[ReportWindow]) -> dict[str, Any]:
    return {
        "parent_month": first_days(windows),
        "last_month": windows[-1].month.first_day,
        "elapsed_microseconds": sum(window.elapsed_microseconds for window in windows),
        "ui_usage_count_is_known": any(window.ui_measured for window in windows),
        "sdk_usage_count_is_known": any(window.sdk_measured for window in windows),
        **bind_reports(windows, one=False),
    }


class RangeAmounts(NamedTuple):
    """What the months of a range charge, in minor units, by id; by None in all."""

    currency: Currency | None
    by_id: Mapping[UUID | None, int]

    def amount_of(self, id_: UUID | None) -> Decimal | None:
        """Return what is charged for an id; None if nothing is charged in the range."""
        return None if self.currency is None else self.currency.from_minor(self.by_id.get(id_, 0))

    @property
    def total(self) -> Decimal | None:
        """The sum over all ids; None if nothing is charged in the range."""
        if self.currency is None:
            return None
        return self.currency.from_minor(sum(self.by_id.values()))


async def sum_amounts(
    context: Context, range_key: RangeKey, kind: RangeList | None
) -> RangeAmounts:
    """Return what a range charges for each thing of a kind, corrections included.

    Source: the charges; of projects also `project_month` and `correction`.
    """
    organization_id, windows = range_key
    currency: Currency | None = None
    by_id: dict[UUID | None, int] = defaultdict(int)
    for window in windows:
        report = organization_id, window
        charges = await charges_of_report(context, report)
        if charges is not None:
            currency = charges.currency
            async for id_, booked in _list_amounts(context, report, charges, kind):
                by_id[id_] += booked
    return RangeAmounts(currency, by_id)


async def _list_amounts(
    context: Context, report: ReportKey, charges: MonthCharges, kind: RangeList | None
) -> AsyncIterator[tuple[UUID | None, int]]:
    if kind is RangeList.PROJECTS:
        shares = await read_shares(context, report, charges, charges.lines)
        for of_line in shares.values():
            for share in of_line:
                yield share.part.id, share.booked
        return
    for line in charges.lines:
        if kind is None:
            yield None, line.booked
        elif kind is RangeList.USERS and line.user is not None:
            yield line.user.id, line.booked
        elif kind is RangeList.WORKSPACES and line.workspace is not None and line.user is None:
            yield line.workspace.id, line.booked
