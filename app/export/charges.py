"""The charges of a month as the rows of a file: one row per charge line, a total and a status."""

from decimal import Decimal
from typing import NamedTuple

from app.domain.charges import ChargeLine, MonthCharges
from app.domain.errors import NotFound
from app.domain.months import Month
from resolvers.charge_lists import UNASSIGNED, round_decimal, trim
from resolvers.context import Context
from resolvers.shares import read_shares
from resolvers.statements import Statement, read_statement


class ChargeRow(NamedTuple):
    """A charge line as files show it. A correction has the month that it corrects.

    Attributes:
        quantity: To twelve decimals, half away from zero.
        exact_amount: Quantity times price before rounding, to twelve decimals.
        amount: What is booked.
        id: The line's id, which `explain` takes.
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
    id: str


async def read_charge_export(
    context: Context,
    organization: str | None,
    month: Month,
    cost_centre: str | None = None,
    *,
    with_projects: bool = False,
) -> Statement:
    """Return what a month charges, to write it to a file, if wanted with the shares of projects.

    Raises:
        ChargebackError: As for `resolvers.statements.read_statement`.
        NotFound: The month has no charges.
    """
    statement = await read_statement(context, organization, month, cost_centre)
    if statement is None:
        raise NotFound(
            f"charges: {month} has no charges: the organization had no currency, or the month "
            "is an imported report."
        )
    if not with_projects:
        return statement
    shares = await read_shares(context, statement.report, statement.charges, statement.lines)
    return statement._replace(shares=shares)


def to_charge_rows(statement: Statement) -> list[ChargeRow]:
    """Return the lines as rows, in their order."""
    charges = statement.charges
    return [_to_row(charges, line, f"{charges.month}-{line.digest}") for line in statement.lines]


def _to_row(charges: MonthCharges, line: ChargeLine, line_id: str) -> ChargeRow:
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
        id=line_id,
    )
