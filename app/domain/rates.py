"""The rate card: what is charged, at which price, from which month on."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar
from uuid import UUID

from app.domain.money import Currency
from app.domain.months import Month


class Measure(StrEnum):
    """What a rate charges for."""

    STORAGE = "STORAGE"
    EXPERIMENTS_CREATED = "EXPERIMENTS_CREATED"
    SEATS = "SEATS"
    SERVICE_ACCOUNTS = "SERVICE_ACCOUNTS"
    UI_USES = "UI_USES"
    SDK_USES = "SDK_USES"
    FEE = "FEE"

    @property
    def unit(self) -> str:
        """The unit of a quantity, in the singular."""
        return _UNITS[self]


_UNITS = {
    Measure.STORAGE: "GB-month",
    Measure.EXPERIMENTS_CREATED: "experiment",
    Measure.SEATS: "user-month",
    Measure.SERVICE_ACCOUNTS: "user-month",
    Measure.UI_USES: "use",
    Measure.SDK_USES: "use",
    Measure.FEE: "month",
}

WORKSPACE_MEASURES = frozenset({Measure.STORAGE, Measure.EXPERIMENTS_CREATED})
"""Charged to the workspace's cost centre; known per project and member too."""

USER_MEASURES = frozenset(
    {Measure.SEATS, Measure.SERVICE_ACCOUNTS, Measure.UI_USES, Measure.SDK_USES}
)
"""Charged to the user's cost centre, or to those of the user's workspaces."""


class Split(StrEnum):
    """How a fee is shared among cost centres."""

    EVEN = "EVEN"
    PROPORTIONAL = "PROPORTIONAL"


class AssignedKind(StrEnum):
    """What an assignment gives to a cost centre."""

    WORKSPACE = "WORKSPACE"
    USER = "USER"


class Rate(NamedTuple):
    """Something that is charged by one measure.

    Attributes:
        code: Its key within the organization.
        name: What statements call it.
        measure: What it charges for.
        split: How a fee is shared; None when one cost centre pays it, and for other measures.
        cost_centre: The code of the cost centre that pays a fee directly; None otherwise.
    """

    code: str
    name: str
    measure: Measure
    split: Split | None = None
    cost_centre: str | None = None


class PricedRate(NamedTuple):
    """A rate with the price in force in one month."""

    rate: Rate
    price: Decimal


class CostCentre(NamedTuple):
    """Who pays. `code` is its key within the organization."""

    code: str
    name: str


class Assignments(NamedTuple):
    """Which cost centre each workspace and user belongs to in one month, by id."""

    workspaces: Mapping[UUID, str]
    users: Mapping[UUID, str]


T = TypeVar("T")
History = Mapping[Month, T | None]
"""Entries by the month from which they are effective; None ends what was in force."""


def effective(entries: History[T], month: Month) -> T | None:
    """Return the entry in force in a month: the latest that starts no later.

    Entries are effective from a month on until the next one, so that gaps and overlaps cannot
    exist; None ends what was in force.

    >>> effective({Month(2026, 9): "0.20", Month(2026, 10): "0.30"}, Month(2026, 12))
    '0.30'
    """
    started = [start for start in entries if start <= month]
    return entries[max(started)] if started else None


class Tariff(NamedTuple):
    """What is in force in one month: the currency, priced rates and assignments."""

    month: Month
    currency: Currency
    rates: Sequence[PricedRate]
    assignments: Assignments


class RateCard(NamedTuple):
    """Everything that an organization has entered about its charges.

    Attributes:
        currency: None while the organization charges nothing.
        cost_centres: By code.
        rates: Sorted by code.
        prices: The history of each rate's price, by the rate's code.
        workspaces: The history of each workspace's cost centre, by id.
        users: The history of each user's cost centre, by id.
    """

    currency: Currency | None
    cost_centres: Mapping[str, CostCentre]
    rates: Sequence[Rate]
    prices: Mapping[str, History[Decimal]]
    workspaces: Mapping[UUID, History[str]]
    users: Mapping[UUID, History[str]]

    def tariff(self, month: Month) -> Tariff | None:
        """Return what is in force in a month; None while there is no currency."""
        if self.currency is None:
            return None
        priced = [
            PricedRate(rate, price)
            for rate in self.rates
            if (price := effective(self.prices.get(rate.code, {}), month)) is not None
        ]
        assignments = Assignments(
            _effective_all(self.workspaces, month), _effective_all(self.users, month)
        )
        return Tariff(month, self.currency, priced, assignments)


def _effective_all(histories: Mapping[UUID, History[T]], month: Month) -> dict[UUID, T]:
    found = {key: effective(history, month) for key, history in histories.items()}
    return {key: value for key, value in found.items() if value is not None}
