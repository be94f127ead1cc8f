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
from itertools import groupby
from typing import NamedTuple, TypeVar
from uuid import UUID

from app.domain.apportionment import apportion
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

    @property
    def sort_key(self) -> tuple[object, ...]:
        """The order of lines, which also breaks ties: cost centre, name, id; Unassigned last."""
        named = (self.workspace, self.user)
        return (
            self.rate.code,
            self.origin or Month(0, 0),
            self.cost_centre is None,
            self.cost_centre or "",
            *((party.name, str(party.id)) if party else ("", "") for party in named),
        )


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
    tariff: Tariff, usage: Usage, corrections: Iterable[tuple[Tariff, Usage]] = ()
) -> list[ChargeLine]:
    """Return the booked charge lines of a month, sorted.

    Args:
        tariff: What is in force in the month.
        usage: What the month is charged for.
        corrections: Of each closed month that this month corrects, what was in force then and by
            how much its quantities change. Fees are not corrected: their split is final.
    """
    direct = _book(tariff.currency, list(_direct_lines(tariff, usage)))
    fees = _book(tariff.currency, list(_fee_lines(tariff, direct)))
    late = _book(
        tariff.currency,
        [
            line._replace(origin=origin.month)
            for origin, change in corrections
            for line in _usage_lines(origin, change)
        ],
    )
    return sorted([*direct, *fees, *late], key=lambda line: line.sort_key)


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


def _user_lines(
    tariff: Tariff, usage: Usage, priced: PricedRate, user: Party, quantity: Fraction
) -> Iterator[ChargeLine]:
    """Charge the user's own cost centre, else the user's workspaces in equal parts."""
    rate, price = priced
    own = tariff.assignments.users.get(user.id)
    workspaces = usage.memberships.get(user.id, ()) if own is None else ()
    if not workspaces:
        yield ChargeLine(rate, own, None, user, None, quantity, price)
    for workspace in workspaces:
        payer = tariff.assignments.workspaces.get(workspace.id)
        yield ChargeLine(rate, payer, workspace, user, None, quantity / len(workspaces), price)


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


def _book(currency: Currency, lines: Sequence[ChargeLine]) -> list[ChargeLine]:
    """Round each rate's total once and apportion it to cost centres, then to their lines.

    Corrections of one origin month are a total of their own.
    """
    ordered = sorted(lines, key=lambda line: line.sort_key)
    booked: list[ChargeLine] = []
    for _, of_rate in _grouped(ordered, lambda line: (line.rate.code, line.origin)):
        total = currency.round(sum((line.exact for line in of_rate), Fraction()))
        centres = [group for _, group in _grouped(of_rate, lambda line: line.cost_centre)]
        amounts = apportion(total, [_minor_units(currency, group) for group in centres])
        for group, amount in zip(centres, amounts, strict=True):
            parts = apportion(amount, [_minor_units(currency, [line]) for line in group])
            booked += [line._replace(booked=part) for line, part in zip(group, parts, strict=True)]
    return booked


def _minor_units(currency: Currency, lines: Sequence[ChargeLine]) -> Fraction:
    exact = sum((line.exact for line in lines), Fraction())
    return exact * Fraction(10**currency.exponent)


T = TypeVar("T")
K = TypeVar("K")


def _sum_by(lines: Iterable[ChargeLine], key: Callable[[ChargeLine], K]) -> dict[K, int]:
    totals: dict[K, int] = defaultdict(int)
    for line in lines:
        totals[key(line)] += line.booked
    return totals


def _grouped(items: Sequence[T], key: Callable[[T], object]) -> Iterator[tuple[object, list[T]]]:
    """Group neighbours with the same key."""
    for value, group in groupby(items, key):
        yield value, list(group)
