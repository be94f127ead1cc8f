"""The charges of reports as rows: totals, rates, cost centres and lines."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any
from uuid import UUID

from app.db.report_windows import ReportWindow
from app.domain.changes import to_percent
from app.domain.charges import MonthCharges
from app.domain.statement_changes import explain_difference
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, parse_page
from resolvers.report_windows import previous_keys
from resolvers.rows import Grouped, Row, Selection, positions

CostCentreKey = tuple[UUID, ReportWindow, str | None]
"""`organization_id`, `window`, `code`; None is Unassigned."""
StatementKey = tuple[UUID, ReportWindow, str]
"""`organization_id`, `window`, `payer`: a cost centre's code; an empty string is Unassigned."""

UNASSIGNED = "Unassigned"
_DECIMALS = 12


async def charges_of_reports(context: Context, reports: Sequence[ReportKey]) -> Grouped:
    """Return the charges of each report: one row, or none while there is no currency.

    Columns: `currency`, `total`, `corrections`; the group columns identify the report.
    """
    return await _read(context, reports, ("currency", "total", "corrections"), _to_totals)


async def rate_charges_of_reports(context: Context, reports: Sequence[ReportKey]) -> Grouped:
    """Return what each rate charges, grouped by report and sorted by code.

    Columns: `code`, `name`, `measure`, `amount`.
    """
    return await _read(context, reports, ("code", "name", "measure", "amount"), _to_rates)


async def cost_centre_charges_of_reports(
    context: Context, reports: Sequence[ReportKey]
) -> Grouped:
    """Return what each cost centre pays, grouped by report and sorted by code.

    Columns: `code` (null for Unassigned, which comes last), `name`, `amount`.
    """
    return await _read(context, reports, ("code", "name", "amount"), _to_cost_centres)


async def previous_cost_centre_charges(
    context: Context, keys: Sequence[CostCentreKey], months: int
) -> Grouped:
    """Return what each cost centre paid so many months earlier: one row, or none without charges.

    Columns: those of `cost_centre_charges_of_reports`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    groups: list[Sequence[Row]] = []
    previous = await previous_keys(context, keys, months)
    for organization_id, window, code in previous:
        charges = await charges_of_report(context, (organization_id, window))
        rows = [] if charges is None else _to_cost_centres(charges)
        groups.append([row for row in rows if row[0] == code])
    handed_down = {
        "organization_id": [key[0] for key in previous],
        "window": [key[1] for key in previous],
    }
    return Grouped({"code": 0, "name": 1, "amount": 2}, groups, handed_down)


async def changes_of_cost_centre_charges(
    context: Context, keys: Sequence[CostCentreKey], months: int
) -> Grouped:
    """Return the change of what each cost centre pays from so many months earlier.

    Columns: `absolute` and `percent`, as in `resolvers.changes`; null if the earlier month has no
    charges.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    groups: list[Sequence[Row]] = []
    compared = await _read_compared(context, keys, months)
    for (_, _, code), (now, before) in zip(keys, compared, strict=True):
        if now is None or before is None:
            groups.append([(None, None)])
            continue
        amount_before = before.by_cost_centre.get(code, 0)
        change = now.by_cost_centre[code] - amount_before
        absolute = now.currency.from_minor(change)
        groups.append([(absolute, to_percent(change, amount_before))])
    return Grouped({"absolute": 0, "percent": 1}, groups)


async def charge_lines_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    cost_centre: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> Grouped:
    """Return charge lines, grouped by report, in the order of `MonthCharges.lines`.

    Args:
        context: The request.
        reports: The reports.
        selection: The columns; ids take time.
        cost_centre: Only what this cost centre pays; an empty string is Unassigned.
        first: At most so many lines of each report.
        after: Only the lines after the one with this id; none if there is no such line.

    Raises:
        InvalidArgument: `first` is invalid.
    """
    limit = parse_page(first, None).first

    def to_lines(charges: MonthCharges) -> Iterable[Row]:
        start = 0 if after is None else charges.positions.get(after, len(charges.lines)) + 1
        rows = (
            to_line_row(charges, position, with_id="line_id" in selection)
            for position, line in enumerate(charges.lines[start:], start)
            if cost_centre is None or (line.cost_centre or "") == cost_centre
        )
        return islice(rows, limit)

    return await _read(context, reports, LINE_COLUMNS, to_lines)


async def charge_lines_of_statements(
    context: Context,
    statements: Sequence[StatementKey],
    selection: Selection,
    *,
    first: int | None = None,
    after: str | None = None,
) -> Grouped:
    """Return the lines of statements; columns and arguments as for `charge_lines_of_reports`."""
    [cost_centre] = {statement[2] for statement in statements}
    reports = [statement[:2] for statement in statements]
    return await charge_lines_of_reports(
        context, reports, selection, cost_centre=cost_centre, first=first, after=after
    )


async def changes_of_statements(
    context: Context, statements: Sequence[StatementKey], months: int
) -> Grouped:
    """Return why each statement differs from that of so many months earlier, in order of reasons.

    Columns: `reason` (a `ChangeReason`) and `amount`. There are no rows without earlier charges.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    groups: list[Sequence[Row]] = []
    compared = await _read_compared(context, statements, months)
    for (_, _, payer), (now, before) in zip(statements, compared, strict=True):
        if now is None or before is None:
            groups.append([])
            continue
        changes = explain_difference(
            *(
                [line for line in charges.lines if (line.cost_centre or "") == payer]
                for charges in (now, before)
            )
        )
        groups.append([(each, now.currency.from_minor(changes[each])) for each in changes])
    return Grouped({"reason": 0, "amount": 1}, groups)


async def _read_compared(
    context: Context, keys: Sequence[CostCentreKey], months: int
) -> Sequence[tuple[MonthCharges | None, MonthCharges | None]]:
    """Return the charges of each key's month, and those of so many months earlier."""
    previous = await previous_keys(context, keys, months)
    return [
        (await charges_of_report(context, now[:2]), await charges_of_report(context, before[:2]))
        for now, before in zip(keys, previous, strict=True)
    ]


async def _read(
    context: Context,
    reports: Sequence[ReportKey],
    columns: Sequence[str],
    to_rows: Callable[[MonthCharges], Iterable[Row]],
) -> Grouped:
    groups: list[Sequence[Row]] = []
    for report in reports:
        charges = await charges_of_report(context, report)
        groups.append([] if charges is None else list(to_rows(charges)))
    handed_down: dict[str, Sequence[Any]] = {
        "organization_id": [report[0] for report in reports],
        "window": [report[1] for report in reports],
    }
    return Grouped(positions(columns), groups, handed_down)


def _to_totals(charges: MonthCharges) -> Iterable[Row]:
    amount = charges.currency.from_minor
    yield charges.currency.code, amount(charges.total), amount(charges.corrections)


def _to_rates(charges: MonthCharges) -> Iterable[Row]:
    for rate, booked in charges.by_rate.items():
        yield rate.code, rate.name, rate.measure, charges.currency.from_minor(booked)


def _to_cost_centres(charges: MonthCharges) -> Iterable[Row]:
    for code, booked in charges.by_cost_centre.items():
        yield code, charges.name_of(code) or UNASSIGNED, charges.currency.from_minor(booked)


LINE_COLUMNS = (
    "line_id",
    "rate",
    "rate_name",
    "measure",
    "cost_centre",
    "cost_centre_name",
    "workspace",
    "user_name",
    "origin_month",
    "quantity",
    "unit",
    "price",
    "exact_amount",
    "amount",
)


def to_line_row(charges: MonthCharges, position: int, *, with_id: bool = True) -> Row:
    """Return the columns `LINE_COLUMNS` of the line at a position."""
    line = charges.lines[position]
    return (
        charges.line_ids[position] if with_id else None,
        line.rate.code,
        line.rate.name,
        line.rate.measure,
        line.cost_centre,
        charges.name_of(line.cost_centre) or UNASSIGNED,
        line.workspace and line.workspace.name,
        line.user and line.user.name,
        line.origin,
        round_decimal(line.quantity),
        line.rate.measure.unit,
        trim(line.price),
        round_decimal(line.exact),
        charges.currency.from_minor(line.booked),
    )


def round_decimal(value: Fraction) -> Decimal:
    """Return a fraction to twelve decimals, half away from zero, without trailing zeros.

    >>> round_decimal(Fraction(8, 3))
    Decimal('2.666666666667')
    >>> round_decimal(Fraction(100))
    Decimal('100')
    """
    numerator, denominator = value.as_integer_ratio()
    scaled = (2 * abs(numerator) * 10**_DECIMALS + denominator) // (2 * denominator)
    return trim(Decimal(scaled if numerator >= 0 else -scaled).scaleb(-_DECIMALS))


def trim(value: Decimal) -> Decimal:
    """Return a number without trailing zeros and without an exponent."""
    normalized = value.normalize()
    return (
        normalized.quantize(Decimal(1)) if normalized == normalized.to_integral() else normalized
    )
