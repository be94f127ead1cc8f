"""Why a charge line has its amount: its rounding, and the month rows and events behind it."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from app.db.charge_evidence import (
    EventRow,
    read_events_of_entities,
    read_events_of_workspace,
    read_late_rows,
)
from app.db.charges import read_memberships
from app.db.report_windows import ReportWindow
from app.db.row_reader import read_from_snapshot
from app.domain.charges import ChargeLine, MonthCharges
from app.domain.errors import InvalidMonth, NotFound
from app.domain.figures import Figure
from app.domain.ids import member_id
from app.domain.months import Month
from app.domain.rates import USER_MEASURES, Measure, Split
from resolvers.amounts import part_quantity
from resolvers.charge_lists import LINE_COLUMNS, UNASSIGNED, round_decimal, to_line_row
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, to_dicts
from resolvers.report import fetch_report
from resolvers.rows import Grouped, positions
from resolvers.shares import read_shares

MAX_EVENTS = 100
"""How many events an explanation lists."""


class Step(StrEnum):
    """A level at which an amount is rounded."""

    RATE = "RATE"
    COST_CENTRE = "COST_CENTRE"
    LINE = "LINE"


class RoundingStep(NamedTuple):
    """The sum of the lines of a level, before and after rounding."""

    step: Step
    exact_amount: Decimal
    amount: Decimal


class ChargePart(NamedTuple):
    """A row behind the line's quantity; `amount` is None if it has no share of its own."""

    name: str
    quantity: Decimal
    unit: str
    amount: Decimal | None


class Explanation(NamedTuple):
    """A charge line and the data behind it.

    Attributes:
        report: The key of its month's report.
        charges: All charges of its month.
        position: That of the line among them.
        steps: The rate, the cost centre and the line: at each, the amount is rounded.
        parts: The rows behind the quantity.
        events: The latest events behind these rows.
    """

    report: ReportKey
    charges: MonthCharges
    position: int
    steps: Sequence[RoundingStep]
    parts: Sequence[ChargePart]
    events: Sequence[EventRow]

    @property
    def line(self) -> ChargeLine:
        """The line that is explained."""
        return self.charges.lines[self.position]


async def explain_charge(
    context: Context, line_id: str, organization: str | None = None
) -> Explanation:
    """Explain a charge line.

    Raises:
        ChargebackError: As for `resolvers.report.fetch_report`.
        NotFound: There is no such line.
    """
    missing = NotFound(f"charge: there is no charge line {line_id[:40]!r}.")
    try:
        month = Month.parse(line_id[: len("2026-09")])
    except InvalidMonth:
        raise missing from None
    [report] = to_dicts(await fetch_report(context, organization, month, frozenset()))
    key = report["organization_id"], report["window"]
    charges = await charges_of_report(context, key)
    position = charges.positions.get(line_id) if charges else None
    if charges is None or position is None:
        raise missing
    evidence = _Evidence(context, *key, charges, charges.lines[position])
    parts = await evidence.parts()
    steps = list(_rounding_steps(charges, charges.lines[position]))
    return Explanation(key, charges, position, steps, parts, await evidence.events())


async def fetch_explanation(context: Context, line_id: str) -> Grouped:
    """Return the explanation of a line: one row.

    Columns: those of a line, and its report as group columns; `month` (whose usage is charged);
    `numerator` and `denominator` of the quantity, as text; `steps`, `parts` and `events`, as
    tuples of rows.

    Raises:
        ChargebackError: As for `explain_charge`.
    """
    found = await explain_charge(context, line_id)
    line = found.line
    row = (
        *to_line_row(found.charges, found.position),
        line.origin or found.charges.month,
        str(line.quantity.numerator),
        str(line.quantity.denominator),
        tuple(found.steps),
        tuple(found.parts),
        tuple(found.events),
    )
    names = (*LINE_COLUMNS, "month", "numerator", "denominator", "steps", "parts", "events")
    organization_id, window = found.report
    return Grouped(
        positions(names),
        [[row]],
        {"organization_id": [organization_id], "window": [window]},
    )


def _rounding_steps(charges: MonthCharges, line: ChargeLine) -> Iterator[RoundingStep]:
    of_rate = [
        each
        for each in charges.lines
        if each.rate.code == line.rate.code and each.origin == line.origin
    ]
    of_payer = [each for each in of_rate if each.cost_centre == line.cost_centre]
    for step, lines in ((Step.RATE, of_rate), (Step.COST_CENTRE, of_payer), (Step.LINE, [line])):
        exact = sum((each.exact for each in lines), Fraction())
        booked = charges.currency.from_minor(sum(each.booked for each in lines))
        yield RoundingStep(step, round_decimal(exact), booked)


class _Evidence(NamedTuple):
    """Reads the data behind one line."""

    context: Context
    organization_id: UUID
    window: ReportWindow
    charges: MonthCharges
    line: ChargeLine

    @property
    def month(self) -> Month:
        """The month whose usage is charged."""
        return self.line.origin or self.charges.month

    async def parts(self) -> Sequence[ChargePart]:
        """Return the rows behind the quantity."""
        if self.line.rate.measure is Measure.FEE:
            return self._fee_parts()
        if self.line.rate.measure in USER_MEASURES:
            return self._membership_parts()
        if self.line.origin is not None:
            return await self._late_parts()
        return await self._project_parts()

    def _fee_parts(self) -> Sequence[ChargePart]:
        """Return what each cost centre is charged directly, in proportion to which it pays."""
        if self.line.rate.split is not Split.PROPORTIONAL:
            return []
        direct: dict[str | None, int] = {}
        for each in self.charges.lines:
            if each.origin is None and each.rate.split is None:
                direct[each.cost_centre] = direct.get(each.cost_centre, 0) + each.booked
        to_amount = self.charges.currency.from_minor
        currency = self.charges.currency.code
        return [
            ChargePart(code or UNASSIGNED, to_amount(booked), currency, None)
            for code, booked in direct.items()
        ]

    async def _project_parts(self) -> Sequence[ChargePart]:
        """Return the projects of the workspace, former ones included, with their shares."""
        shares = await read_shares(
            self.context, (self.organization_id, self.window), self.charges, [self.line]
        )
        to_amount, unit = self.charges.currency.from_minor, self.line.rate.measure.unit
        return [
            ChargePart(each.part.name, round_decimal(each.quantity), unit, to_amount(each.booked))
            for each in shares[self.line]
        ]

    def _membership_parts(self) -> Sequence[ChargePart]:
        """Return the lines of the same user and rate, one for each of the user's workspaces.

        A late membership moves a seat from one to another.
        """
        unit = self.line.rate.measure.unit
        return [
            ChargePart(
                each.workspace.name if each.workspace else each.cost_centre or UNASSIGNED,
                round_decimal(each.quantity),
                unit,
                self.charges.currency.from_minor(each.booked),
            )
            for each in self._lines_of_user()
            if each.rate == self.line.rate
        ]

    def _lines_of_user(self) -> Iterator[ChargeLine]:
        for each in self.charges.lines:
            if each.user == self.line.user and each.origin == self.line.origin:
                yield each

    async def _late_parts(self) -> Sequence[ChargePart]:
        """Return what came late for a workspace, by project and user."""
        line, workspace = self.line, self.line.workspace
        assert workspace is not None  # noqa: S101  corrections are of users or workspaces
        rows = await read_late_rows(
            read_from_snapshot(self.context.snapshot, self.organization_id),
            self.charges.month.first_day,
            self.month.first_day,
            _FIGURES[line.rate.measure],
            workspace.id,
        )
        return [
            ChargePart(
                " / ".join(filter(None, (row.project, row.username))),
                self._to_quantity(row.amount),
                line.rate.measure.unit,
                None,
            )
            for row in rows
        ]

    def _to_quantity(self, amount: Decimal) -> Decimal:
        figure = int(amount)
        return round_decimal(part_quantity(self.line.rate.measure, self.month, figure, figure))

    async def events(self) -> Sequence[EventRow]:
        """Return the latest events before the month's end behind the line."""
        read = read_from_snapshot(self.context.snapshot, self.organization_id)
        end, user, workspace = self.month.end, self.line.user, self.line.workspace
        if user is not None:
            rows_month = self.line.origin.first_day if self.line.origin else self.window.rows_month
            memberships = (await read_memberships(read, rows_month)).get(user.id, [])
            lines = self._lines_of_user()
            workspaces = {*memberships, *(each.workspace for each in lines if each.workspace)}
            entities = [user.id, *(member_id(each.name, user.name) for each in workspaces)]
            return await read_events_of_entities(read, entities, end, MAX_EVENTS)
        if workspace is not None:
            return await read_events_of_workspace(read, workspace.id, end, MAX_EVENTS)
        return []


_FIGURES = {
    Measure.STORAGE: Figure.BYTE_MICROSECONDS,
    Measure.EXPERIMENTS_CREATED: Figure.EXPERIMENTS_CREATED,
}
