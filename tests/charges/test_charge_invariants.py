"""Charges of random organizations: every view has one total, and no amount is off by a unit."""

import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar
from uuid import UUID

from app.domain.charges import (
    ChargeLine,
    CorrectedMonth,
    MonthCharges,
    Party,
    Usage,
    UserQuantity,
    WorkspaceQuantity,
    apportion_line,
    charge_month,
)
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import (
    USER_MEASURES,
    WORKSPACE_MEASURES,
    Assignments,
    Measure,
    PricedRate,
    Rate,
    Split,
    Tariff,
)

T = TypeVar("T")
SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)
CENTRES = ("4711", "4712", "4713")
WORKSPACES = [Party(UUID(int=number), f"w{number % 3}") for number in range(1, 6)]
USERS = [Party(UUID(int=100 + number), f"u{number}") for number in range(6)]

CURRENCIES = [Currency("EUR", 2), Currency("JPY", 0), Currency("BHD", 3)]
ORGANIZATIONS = 100
"""How many random organizations each test looks at."""


class RandomMonth:
    """A random month: its tariff, its usage, and sometimes corrections of the month before."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  reproducible, nothing to keep secret
        self.currency = self._random.choice(CURRENCIES)
        self.tariff = self._draw_tariff(OCTOBER)
        self.usage = self._draw_usage()
        self.corrected = [self._draw_correction()] if self._flip() else []

    def charge(self) -> MonthCharges:
        return to_charges(self.tariff, charge_month(self.tariff, self.usage, self.corrected))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self._random.sample(items, len(items))

    def _flip(self) -> bool:
        return self._random.random() < 0.5

    def _draw_correction(self) -> CorrectedMonth:
        return CorrectedMonth(self._draw_tariff(SEPTEMBER), self._draw_usage(), self._draw_usage())

    def _draw_price(self) -> Decimal:
        return Decimal(self._random.randint(0, 10_000_000)).scaleb(-4)

    def _draw_quantity(self) -> Fraction:
        return Fraction(self._random.randint(0, 500 * 97), self._random.randint(1, 97))

    def _draw_tariff(self, month: Month) -> Tariff:
        measured = sorted(WORKSPACE_MEASURES | USER_MEASURES)
        candidates = [
            *(Rate(measure.lower(), measure, measure) for measure in measured),
            *(Rate(f"fee {split}", "Fee", Measure.FEE, split) for split in Split),
            Rate("fee", "Fee", Measure.FEE, None, self._random.choice(CENTRES)),
        ]
        return Tariff(
            month,
            self.currency,
            [PricedRate(rate, self._draw_price()) for rate in candidates if self._flip()],
            Assignments(self._draw_assignments(WORKSPACES), self._draw_assignments(USERS)),
        )

    def _draw_assignments(self, parties: Sequence[Party]) -> dict[UUID, str]:
        return {each.id: self._random.choice(CENTRES) for each in parties if self._flip()}

    def _draw_usage(self) -> Usage:
        return Usage(
            {
                measure: [WorkspaceQuantity(each, self._draw_quantity()) for each in WORKSPACES]
                for measure in sorted(WORKSPACE_MEASURES)
            },
            {
                measure: [UserQuantity(each, self._draw_quantity()) for each in USERS]
                for measure in sorted(USER_MEASURES)
            },
            {
                each.id: self._random.sample(WORKSPACES, self._random.randint(0, len(WORKSPACES)))
                for each in USERS
            },
        )


def to_charges(tariff: Tariff, lines: Sequence[ChargeLine]) -> MonthCharges:
    return MonthCharges(tariff.month, tariff.currency, lines, dict.fromkeys(CENTRES, "name"))


def test_every_view_has_the_same_total() -> None:
    for seed in range(ORGANIZATIONS):
        charges = RandomMonth(seed).charge()

        fees = sum(
            line.booked
            for line in charges.lines
            if line.workspace is None and line.user is None and line.origin is None
        )
        of_workspaces = sum(
            line.booked for lines in charges.workspace_lines.values() for line in lines
        )
        of_users = sum(charges.by_user.values())
        assert sum(charges.by_rate.values()) == charges.total, seed
        assert sum(charges.by_cost_centre.values()) == charges.total, seed
        assert of_workspaces + of_users + fees + charges.corrections == charges.total, seed


def test_each_amount_is_less_than_one_minor_unit_from_exact() -> None:
    for seed in range(ORGANIZATIONS):
        charges = RandomMonth(seed).charge()

        for line in charges.lines:
            exact = line.exact * 10**charges.currency.exponent
            assert abs(line.booked - exact) < 1, seed
            if exact.denominator == 1:
                assert line.booked == exact, seed


def test_the_order_of_the_input_does_not_matter() -> None:
    for seed in range(ORGANIZATIONS):
        month = RandomMonth(seed)
        expected = month.charge().sha256

        month.tariff = month.tariff._replace(rates=month.shuffled(month.tariff.rates))
        usage = month.usage
        month.usage = Usage(
            {key: month.shuffled(of) for key, of in reversed(list(usage.workspaces.items()))},
            {key: month.shuffled(of) for key, of in reversed(list(usage.users.items()))},
            {key: month.shuffled(of) for key, of in usage.memberships.items()},
        )

        assert month.charge().sha256 == expected, seed


def test_parts_of_a_line_add_up_to_it() -> None:
    for seed in range(ORGANIZATIONS):
        chance = random.Random(seed)  # noqa: S311  reproducible, nothing to keep secret
        currency = chance.choice(CURRENCIES)
        price = Decimal(chance.randint(0, 10_000_000)).scaleb(-4)
        quantities = [
            Fraction(chance.randint(0, 50_000), chance.randint(1, 97))
            for _ in range(chance.randint(1, 6))
        ]
        storage = PricedRate(Rate("storage", "Storage", Measure.STORAGE), price)
        tariff = Tariff(OCTOBER, currency, [storage], Assignments({}, {}))
        total = sum(quantities, Fraction())
        usage = Usage({Measure.STORAGE: [WorkspaceQuantity(WORKSPACES[0], total)]}, {}, {})

        for line in charge_month(tariff, usage):
            parts = apportion_line(line, quantities, currency)
            assert sum(parts) == line.booked, seed
            for part, quantity in zip(parts, quantities, strict=True):
                exact = quantity * Fraction(price) * 10**currency.exponent
                assert abs(part - exact) < 1, seed
