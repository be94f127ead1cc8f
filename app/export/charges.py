"""The charges of a month as the rows of a file: one row per charge line, a total and a status."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from app.db.rate_card import read_cost_centres
from app.db.row_reader import read_from_snapshot
from app.domain.charges import ChargeLine, MonthCharges
from app.domain.errors import NotFound
from app.domain.money import Currency
from app.domain.months import Month
from resolvers.charge_lists import UNASSIGNED, round_decimal, trim
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, to_dicts
from resolvers.report import fetch_report


class ChargeRow(NamedTuple):
    """A charge line as files show it. A correction has the month that it corrects.

    Attributes:
        quantity: To twelve decimals, half away from zero.
        exact_amount: Quantity times price before rounding, to twelve decimals.
        amount: The booked amount.
    """

    type: str
    month: Month
    origin_month: Month | None
    cost_centre: str | None
    cost_centre_name: str
    rate: str
    rate_name: str
    measure: str
    workspace: str | None
    username: str | None
    quantity: Decimal
    unit: str
    price: Decimal
    exact_amount: Decimal
    amount: Decimal
    currency: str


class ChargeExport(NamedTuple):
    """The charges of a month, or of one cost centre in it.

    Attributes:
        organization: The organization's name.
        report: The key of the month's report.
        charges: All charges of the month.
        lines: Those to export.
        closed_at: When the month was closed; None while it is open.
        as_of: When the charges last changed; for the current month, the time of the request.
    """

    organization: str
    report: ReportKey
    charges: MonthCharges
    lines: Sequence[ChargeLine]
    closed_at: datetime | None
    as_of: datetime

    @property
    def organization_id(self) -> UUID:
        """The organization's id."""
        return self.report[0]

    @property
    def month(self) -> Month:
        """The month in which the charges are booked."""
        return self.charges.month

    @property
    def currency(self) -> Currency:
        """The currency of all amounts."""
        return self.charges.currency

    @property
    def total(self) -> Decimal:
        """What the exported lines add up to."""
        return self.currency.from_minor(sum(line.booked for line in self.lines))

    @property
    def status(self) -> str:
        """Whether the charges are final; the last row of every file."""
        if self.closed_at is not None:
            return f"CLOSED, sha256 {self.charges.sha256()}"
        return f"OPEN, as of {self.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def rows(self) -> list[ChargeRow]:
        """Return the lines as rows, in the order of `MonthCharges.lines`."""
        return [_to_row(self.charges, line) for line in self.lines]


async def read_charge_export(
    context: Context, organization: str | None, month: Month, cost_centre: str | None = None
) -> ChargeExport:
    """Read the charges of a month.

    Args:
        context: The request.
        organization: Its name; None is the caller's own.
        month: The month in which the charges are booked.
        cost_centre: Only what this cost centre pays; an empty string is Unassigned.

    Raises:
        ChargebackError: As for `resolvers.report.fetch_report`.
        NotFound: The month has no charges, or there is no such cost centre.
    """
    [report] = to_dicts(await fetch_report(context, organization, month, frozenset()))
    key = report["organization_id"], report["window"]
    charges = await charges_of_report(context, key)
    if charges is None:
        raise NotFound(
            f"charges: {month} has no charges: the organization had no currency, or the month "
            "is an imported report."
        )
    if cost_centre:
        await _require_cost_centre(context, key, cost_centre)
    lines = [
        line
        for line in charges.lines
        if cost_centre is None or (line.cost_centre or "") == cost_centre
    ]
    is_current = month == Month.containing(context.now)
    return ChargeExport(
        report["organization_name"],
        key,
        charges,
        lines,
        report["closed_at"],
        context.now if is_current else report["created_at"],
    )


async def _require_cost_centre(context: Context, report: ReportKey, code: str) -> None:
    known = await read_cost_centres(read_from_snapshot(context.snapshot, report[0]))
    if code not in {cost_centre.code for cost_centre in known}:
        raise NotFound(f"costCentre: there is no cost centre {code[:80]!r}.")


def _to_row(charges: MonthCharges, line: ChargeLine) -> ChargeRow:
    return ChargeRow(
        type="charge" if line.origin is None else "correction",
        month=charges.month,
        origin_month=line.origin,
        cost_centre=line.cost_centre,
        cost_centre_name=charges.name_of(line.cost_centre) or UNASSIGNED,
        rate=line.rate.code,
        rate_name=line.rate.name,
        measure=line.rate.measure.value,
        workspace=line.workspace and line.workspace.name,
        username=line.user and line.user.name,
        quantity=round_decimal(line.quantity),
        unit=line.rate.measure.unit,
        price=trim(line.price),
        exact_amount=round_decimal(line.exact),
        amount=charges.currency.from_minor(line.booked),
        currency=charges.currency.code,
    )
