"""Statements: what a month charges one cost centre, or all of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from app.db.rate_card import require_cost_centres
from app.db.row_reader import read_from_snapshot
from app.domain.audit import Action
from app.domain.charges import ChargeLine, MonthCharges
from app.domain.money import Currency
from app.domain.months import Month
from resolvers.charge_lists import UNASSIGNED
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, to_dicts
from resolvers.report import fetch_report
from resolvers.rows import Grouped, Row
from resolvers.shares import Share


class Statement(NamedTuple):
    """The charges of a month, or of one cost centre in it.

    Attributes:
        organization: The organization's name.
        report: The key of the month's report.
        charges: All charges of the month.
        lines: Those of the statement.
        cost_centre_name: The name of the cost centre, or `Unassigned`; None for all.
        provider: Who charges, as FOCUS files name it.
        closed_at: When the month was closed; None while it is open.
        as_of: When the charges were last different; the time of the request in the current month.
        shares: The shares of projects in lines of workspaces, if they were read.
    """

    organization: str
    report: ReportKey
    charges: MonthCharges
    lines: Sequence[ChargeLine]
    cost_centre_name: str | None
    provider: str
    closed_at: datetime | None
    as_of: datetime
    shares: Mapping[ChargeLine, Sequence[Share]] = MappingProxyType({})

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
        """What the lines add up to."""
        return self.currency.from_minor(sum(line.booked for line in self.lines))

    @property
    def corrections(self) -> Decimal:
        """What corrections of earlier months add to the total."""
        late = sum(line.booked for line in self.lines if line.origin is not None)
        return self.currency.from_minor(late)

    @property
    def charges_hash(self) -> str | None:
        """The hash of all charges of the month, stored at its close; None while it is open."""
        return None if self.closed_at is None else self.charges.sha256

    @property
    def status(self) -> str:
        """Whether the charges are final; the last row of every file."""
        if self.closed_at is not None:
            return f"CLOSED, sha256 {self.charges_hash}"
        return f"OPEN, as of {self.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def read_statement(
    context: Context, organization: str | None, month: Month, cost_centre: str | None = None
) -> Statement | None:
    """Return what a month charges; None if it has no charges. The read is audited.

    A month has no charges if the organization had no currency, or if an imported report states
    the month.

    Args:
        context: The request.
        organization: Its name; None is the caller's own.
        month: The month in which the charges are booked.
        cost_centre: Only what this cost centre pays; an empty string is Unassigned.

    Raises:
        ChargebackError: As for `resolvers.report.fetch_report`.
        Forbidden: The caller may not read what this cost centre is charged.
        NotFound: There is no such cost centre.
    """
    context.caller.require_statement(organization, cost_centre)
    found = await fetch_report(
        context,
        organization,
        month,
        frozenset(),
        action=Action.REPORT_READ if cost_centre is None else Action.STATEMENT_READ,
        detail={} if cost_centre is None else {"costCentre": cost_centre},
    )
    [report] = to_dicts(found)
    key = report["organization_id"], report["window"]
    name = await _read_name(context, key[0], cost_centre)
    charges = await charges_of_report(context, key)
    if charges is None:
        return None
    is_current = month == Month.containing(context.now)
    return Statement(
        report["organization_name"],
        key,
        charges,
        charges.lines if cost_centre is None else charges.lines_of(cost_centre),
        charges.cost_centre_names.get(cost_centre or "", name),
        context.settings.focus_provider_name,
        report["closed_at"],
        context.now if is_current else report["created_at"],
    )


async def _read_name(
    context: Context, organization_id: UUID, cost_centre: str | None
) -> str | None:
    if not cost_centre:
        return None if cost_centre is None else UNASSIGNED
    read = read_from_snapshot(context.snapshot, organization_id)
    return (await require_cost_centres(read, [cost_centre]))[cost_centre].name


async def fetch_statement(context: Context, month: Month, cost_centre: str) -> Grouped:
    """Return the statement of a cost centre of the caller's organization: one row, or none.

    Columns: `organization_id`, `window`, `payer` (the key of its lines), `month`,
    `cost_centre` (null for Unassigned), `cost_centre_name`, `closed`, `closed_at`,
    `charges_hash` (null while the month is open), `currency`, `total`, `corrections`.

    Raises:
        ChargebackError: As for `read_statement`.
    """
    statement = await read_statement(context, None, month, cost_centre)
    columns = {name: position for position, name in enumerate(_COLUMNS)}
    return Grouped(columns, [[] if statement is None else [_to_row(statement, cost_centre)]])


_COLUMNS = (
    "organization_id",
    "window",
    "payer",
    "month",
    "cost_centre",
    "cost_centre_name",
    "closed",
    "closed_at",
    "charges_hash",
    "currency",
    "total",
    "corrections",
)


def _to_row(statement: Statement, cost_centre: str) -> Row:
    return (
        *statement.report,
        cost_centre,
        statement.month,
        cost_centre or None,
        statement.cost_centre_name,
        statement.closed_at is not None,
        statement.closed_at,
        statement.charges_hash,
        statement.currency.code,
        statement.total,
        statement.corrections,
    )
