"""Charges of one month: quantities, prices and assignments in, charge lines out.

Pure and exact. A quantity is a fraction, an amount is a fraction until it is booked, and a booked
amount is a whole number of the currency's minor units. Each rate's total is rounded once and
apportioned to cost centres, from there to lines, and from a line to projects or members
(`apportion_line`), so that every view adds up to the same total.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise
from math import lcm
from typing import NamedTuple, TypeVar
from uuid import UUID

from app.domain.apportionment import apportion, apportion_units
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import Assignments, Measure, PricedRate, Rate, Split, Tariff

GIGABYTE = 1_073_741_824
"""Bytes in 1 GB, as storage is charged."""


class Party(NamedTuple):
    """A workspace or user as a charge line names it."""

    id: UUID
    name: str


class WorkspaceQuantity(NamedTuple):
    """How much of a measure one workspace used in a month."""

    workspace: Party
    quantity: Fraction


class UserQuantity(NamedTuple):
    """How much of a measure one user used in a month."""

    user: Party
    quantity: Fraction


class Usage(NamedTuple):
    """What one month is charged for, or what a later month corrects of it.

    Attributes:
        workspaces: Quantities by workspace measure; former workspaces included.
        users: Quantities by user measure.
        memberships: The workspaces that each user is a member of at the month's end.
    """

    workspaces: Mapping[Measure, Sequence[WorkspaceQuantity]]
    users: Mapping[Measure, Sequence[UserQuantity]]
    memberships: Mapping[UUID, Sequence[Party]]


class CorrectedMonth(NamedTuple):
    """A closed month that a later month corrects.

    Attributes:
        tariff: What was in force in it.
        before: What it was charged for until now, with the corrections of earlier months.
        after: The same with the corrections of the later month.

    Only differences count, so both may leave out what does not change. A workspace pays for its
    own use alone, so `after` may have just the change of its quantity.
    """

    tariff: Tariff
    before: Usage
    after: Usage


class ChargeLine(NamedTuple):
    """One line: quantity times price, booked for a cost centre.

    Attributes:
        rate: What is charged.
        cost_centre: The code of the cost centre that pays; None is Unassigned.
        workspace: The workspace that was used, or through which a user's cost centre was found.
        user: The user, for user measures.
        origin: The closed month that the line corrects; None for the month's own lines.
        quantity: In the measure's unit.
        price: For one unit, in force in the line's own month.
        booked: The apportioned amount, in minor units.
    """

    rate: Rate
    cost_centre: str | None
    workspace: Party | None
    user: Party | None
    origin: Month | None
    quantity: Fraction
    price: Decimal
    booked: int = 0

    @property
    def exact(self) -> Fraction:
        """The amount before rounding, in the currency."""
        return self.quantity * Fraction(self.price)

    @property
    def digest(self) -> str:
        """A short hash of what identifies the line within its month."""
        parts = (
            self.rate.code,
            str(self.origin or ""),
            self.cost_centre or "",
            *(str(party.id) if party else "" for party in (self.workspace, self.user)),
        )
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class MonthCharges:
    """The charges of one month.

    Attributes:
        month: The month in which they are booked.
        currency: The currency of all amounts.
        lines: Sorted by rate, origin month, cost centre, workspace and user.
        cost_centre_names: The names of the cost centres of the lines, by code.
    """

    month: Month
    currency: Currency
    lines: Sequence[ChargeLine]
    cost_centre_names: Mapping[str, str]

    def name_of(self, cost_centre: str | None) -> str | None:
        """Return a cost centre's name; None for Unassigned."""
        return None if cost_centre is None else self.cost_centre_names[cost_centre]

    @cached_property
    def total(self) -> int:
        """What all lines add up to, in minor units."""
        return sum(line.booked for line in self.lines)

    @cached_property
    def corrections(self) -> int:
        """What corrections of earlier months add to the total, in minor units."""
        return sum(line.booked for line in self.lines if line.origin is not None)

    @cached_property
    def by_cost_centre(self) -> Mapping[str | None, int]:
        """Minor units by cost centre, sorted by code; Unassigned last."""
        totals = _sum_by(self.lines, lambda line: line.cost_centre)
        return dict(sorted(totals.items(), key=lambda item: (item[0] is None, item[0] or "")))

    @cached_property
    def by_rate(self) -> Mapping[Rate, int]:
        """Minor units by rate, sorted by code."""
        return _sum_by(self.lines, lambda line: line.rate)

    @cached_property
    def workspace_lines(self) -> Mapping[UUID, Sequence[ChargeLine]]:
        """The month's own lines of workspace measures, by workspace."""
        found: dict[UUID, list[ChargeLine]] = defaultdict(list)
        for line in self.lines:
            if line.workspace is not None and line.user is None and line.origin is None:
                found[line.workspace.id].append(line)
        return found

    @cached_property
    def by_user(self) -> Mapping[UUID, int]:
        """Minor units of the month's own lines of user measures, by user."""
        own = [line for line in self.lines if line.user is not None and line.origin is None]
        return _sum_by(own, lambda line: line.user.id)  # type: ignore[union-attr]

    @cached_property
    def line_ids(self) -> Sequence[str]:
        """The id of each line: from the month and what is charged, whatever the amount."""
        return [f"{self.month}-{line.digest}" for line in self.lines]

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each line, by its id."""
        return {line_id: position for position, line_id in enumerate(self.line_ids)}

    def lines_of(self, cost_centre: str) -> Sequence[ChargeLine]:
        """Return the lines that a cost centre pays; an empty string is Unassigned."""
        return [line for line in self.lines if (line.cost_centre or "") == cost_centre]

    @cached_property
    def sha256(self) -> str:
        """The hash of the currency and of everything that the lines say."""
        digest = hashlib.sha256(self.currency.code.encode())
        for line in self.lines:
            digest.update(repr((*line, self.name_of(line.cost_centre))).encode())
        return digest.hexdigest()


def storage_quantity(byte_microseconds: int, month: Month) -> Fraction:
    """Return GB-months: byte-microseconds held, over one GB held for the whole month."""
    return Fraction(byte_microseconds, GIGABYTE * month.microseconds)


def charge_month(
    tariff: Tariff, usage: Usage, corrected: Iterable[CorrectedMonth] = ()
) -> list[ChargeLine]:
    """Return the booked charge lines of a month, sorted.

    Args:
        tariff: What is in force in the month.
        usage: What the month is charged for.
        corrected: The closed months that this month corrects. Fees are not corrected: their split
            is final.
    """
    direct = _book(tariff.currency, _direct_lines(tariff, usage))
    direct_lines = [line for lines in direct.values() for line in lines]
    fees = _book(tariff.currency, _fee_lines(tariff, direct_lines))
    late = _book(
        tariff.currency,
        (line for closed in corrected for line in _correction_lines(closed)),
    )
    booked = {**direct, **fees, **late}
    return [line for key in sorted(booked) for line in booked[key]]


def apportion_line(
    line: ChargeLine, quantities: Sequence[Fraction], currency: Currency
) -> list[int]:
    """Apportion a line's booked amount to the projects, or the members, of its workspace.

    Args:
        line: A line of a workspace measure.
        quantities: What each project or member used, former ones included; they add up to the
            line's quantity, and their order breaks ties.
        currency: The line's.
    """
    minor: Fraction = Fraction(line.price) * 10**currency.exponent
    return apportion(line.booked, [quantity * minor for quantity in quantities])


def _direct_lines(tariff: Tariff, usage: Usage) -> Iterator[ChargeLine]:
    """Yield the lines that go to a cost centre directly: all but split fees."""
    yield from _usage_lines(tariff, usage)
    for rate, price in tariff.rates:
        if rate.measure is Measure.FEE and rate.split is None:
            yield ChargeLine(rate, rate.cost_centre, None, None, None, Fraction(1), price)


def _usage_lines(tariff: Tariff, usage: Usage) -> Iterator[ChargeLine]:
    for rate, price in tariff.rates:
        for workspace, quantity in usage.workspaces.get(rate.measure, ()):
            if quantity:
                payer = tariff.assignments.workspaces.get(workspace.id)
                yield ChargeLine(rate, payer, workspace, None, None, quantity, price)
        for user, quantity in usage.users.get(rate.measure, ()):
            if quantity:
                yield from _user_lines(tariff, usage, PricedRate(rate, price), user, quantity)


def _correction_lines(closed: CorrectedMonth) -> Iterator[ChargeLine]:
    """Yield by how much each line of a closed month changes.

    A late membership changes who pays for a user, even where the user's quantity stays the same.
    """
    changes: dict[ChargeLine, Fraction] = defaultdict(Fraction)
    for usage, sign in ((closed.before, -1), (closed.after, 1)):
        for line in _usage_lines(closed.tariff, usage):
            changes[line._replace(quantity=Fraction(0))] += sign * line.quantity
    for line, change in changes.items():
        if change:
            yield line._replace(quantity=change, origin=closed.tariff.month)


def _user_lines(
    tariff: Tariff, usage: Usage, priced: PricedRate, user: Party, quantity: Fraction
) -> Iterator[ChargeLine]:
    """Charge the user's own cost centre, else the user's workspaces in equal parts."""
    rate, price = priced
    own = tariff.assignments.users.get(user.id)
    workspaces = usage.memberships.get(user.id, ()) if own is None else ()
    if not workspaces:
        yield ChargeLine(rate, own, None, user, None, quantity, price)
        return
    part = quantity / len(workspaces)
    for workspace in workspaces:
        payer = tariff.assignments.workspaces.get(workspace.id)
        yield ChargeLine(rate, payer, workspace, user, None, part, price)


def _fee_lines(tariff: Tariff, direct: Sequence[ChargeLine]) -> Iterator[ChargeLine]:
    """Yield the lines of split fees; Unassigned pays only where nobody else can."""
    for rate, price in tariff.rates:
        if rate.measure is Measure.FEE and rate.split is not None:
            shares = _fee_shares(rate.split, tariff.assignments, direct)
            for cost_centre, share in shares.items():
                yield ChargeLine(rate, cost_centre, None, None, None, share, price)


def _fee_shares(
    split: Split, assignments: Assignments, direct: Sequence[ChargeLine]
) -> Mapping[str | None, Fraction]:
    weights: dict[str, int] = defaultdict(int)
    if split is Split.PROPORTIONAL:
        for line in direct:
            if line.cost_centre is not None and line.booked:
                weights[line.cost_centre] += line.booked
    if not weights:
        weights = dict.fromkeys({*assignments.workspaces.values(), *assignments.users.values()}, 1)
    if not weights:
        return {None: Fraction(1)}
    whole = sum(weights.values())
    return {cost_centre: Fraction(weight, whole) for cost_centre, weight in weights.items()}


_RateKey = tuple[str, Month]
"""The code of a rate, and the origin month of its lines; `_OWN` for the month's own lines."""
_OWN = Month(0, 0)


def _book(currency: Currency, lines: Iterable[ChargeLine]) -> dict[_RateKey, list[ChargeLine]]:
    """Round each rate's total once and apportion it to cost centres, then to their lines.

    Corrections of one origin month are a total of their own.
    """
    of_rates: dict[_RateKey, list[ChargeLine]] = defaultdict(list)
    for line in lines:
        of_rates[line.rate.code, line.origin or _OWN].append(line)
    return {
        key: _book_rate(currency, sorted(of_rate, key=_order_in_rate))
        for key, of_rate in of_rates.items()
    }


def _order_in_rate(line: ChargeLine) -> tuple[object, ...]:
    """Return the sort key that breaks ties: cost centre, name, id; Unassigned last."""
    payer, workspace, user = line.cost_centre, line.workspace, line.user
    return (
        payer is None,
        payer or "",
        workspace.name if workspace else "",
        workspace.id if workspace else _NO_ID,
        user.name if user else "",
        user.id if user else _NO_ID,
    )


_NO_ID = UUID(int=0)


def _book_rate(currency: Currency, lines: Sequence[ChargeLine]) -> list[ChargeLine]:
    """Book the lines of one rate, which have one price; a month can have 100,000 of them.

    Whole numbers of a common fraction of a minor unit are ten times as fast as fractions.
    """
    price, denominator = lines[0].price.as_integer_ratio()
    common = lcm(*{line.quantity.denominator for line in lines})
    unit, price = common * denominator, price * 10**currency.exponent
    exact = [
        line.quantity.numerator * (common // line.quantity.denominator) * price for line in lines
    ]
    ends = [*_ends_of_groups([line.cost_centre for line in lines])]
    groups = [slice(start, end) for start, end in pairwise([0, *ends])]
    sums = [sum(exact[group]) for group in groups]
    total = currency.round(Fraction(sum(sums), unit * 10**currency.exponent))
    booked: list[ChargeLine] = []
    for group, amount in zip(groups, apportion_units(total, sums, unit), strict=True):
        parts = apportion_units(amount, exact[group], unit)
        booked += [
            line._replace(booked=part) for line, part in zip(lines[group], parts, strict=True)
        ]
    return booked


def _ends_of_groups(values: Sequence[object]) -> Iterator[int]:
    """Yield the position after each run of equal values."""
    position = 0
    for _, group in groupby(values):
        position += len(list(group))
        yield position


K = TypeVar("K")


def _sum_by(lines: Iterable[ChargeLine], key: Callable[[ChargeLine], K]) -> dict[K, int]:
    totals: dict[K, int] = defaultdict(int)
    for line in lines:
        totals[key(line)] += line.booked
    return totals
