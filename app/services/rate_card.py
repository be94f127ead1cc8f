"""Change the rate card: currency, cost centres, assignments, rates and prices.

`change_rate_card` is one transaction: it locks the organization and raises its revision. Each
change within it is checked, refused if it would change a closed month, and audited.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from app.db.dry_run import roll_back_at_end
from app.db.engine import Database, Transaction
from app.db.organizations import lock_organization
from app.db.rate_card import (
    AssignmentRow,
    PriceRow,
    raise_revision,
    read_currency,
    read_prices,
    read_rate_card,
    read_rates,
    require_cost_centres,
    select_names,
    update_currency,
    upsert_assignments,
    upsert_cost_centre,
    upsert_price,
    upsert_rate,
)
from app.db.row_reader import RowReader, read_from_transaction
from app.domain.audit import Action, Actor, AuditEvent
from app.domain.errors import CurrencyMismatch, InvalidArgument, MonthClosed, NotFound
from app.domain.ids import user_id, workspace_id
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import (
    AssignedKind,
    CostCentre,
    Measure,
    Rate,
    RateCard,
    effective,
)
from app.domain.text import NUL, normalize_name
from app.services.audit import append_audit_event

MAX_CODE_LENGTH = 50
MAX_NAME_LENGTH = 200
PRICE_LIMIT = Decimal(10**10)
PRICE_DECIMALS = 10


class AssignmentEntry(NamedTuple):
    """A workspace or user by name, and its cost centre from a month on; None ends it."""

    kind: AssignedKind
    name: str
    cost_centre: str | None
    from_month: Month


async def fetch_rate_card(database: Database, organization_id: UUID) -> RateCard:
    """Return the whole rate card."""
    async with database.transaction(organization_id) as tx:
        return await read_rate_card(read_from_transaction(tx, organization_id))


async def list_assignments(
    database: Database, organization_id: UUID, month: Month
) -> list[tuple[AssignedKind, str, str]]:
    """Return kind, name and cost centre of what a month assigns, sorted by kind and name."""
    async with database.transaction(organization_id) as tx:
        read = read_from_transaction(tx, organization_id)
        card = await read_rate_card(read)
        assigned = {
            AssignedKind.WORKSPACE: card.workspaces,
            AssignedKind.USER: card.users,
        }
        found = []
        for kind, histories in assigned.items():
            names = await select_names(tx, organization_id, kind, list(histories))
            for key, history in histories.items():
                if (cost_centre := effective(history, month)) is not None:
                    found.append((kind, names[key], cost_centre))
    return sorted(found, key=lambda each: (each[0] is AssignedKind.USER, each[1]))


async def set_currency(
    database: Database, organization_id: UUID, code: str, *, by: Actor, now: datetime
) -> Currency:
    """Set the organization's currency; for what is refused, see `RateCardChange.set_currency`."""
    async with change_rate_card(database, organization_id, by, now) as change:
        return await change.set_currency(code)


async def set_cost_centre(
    database: Database, organization_id: UUID, cost_centre: CostCentre, *, by: Actor, now: datetime
) -> None:
    """Create or rename a cost centre; see `RateCardChange.set_cost_centre`."""
    async with change_rate_card(database, organization_id, by, now) as change:
        await change.set_cost_centre(cost_centre)


async def set_rate(
    database: Database, organization_id: UUID, rate: Rate, *, by: Actor, now: datetime
) -> None:
    """Create or change a rate; see `RateCardChange.set_rate`."""
    async with change_rate_card(database, organization_id, by, now) as change:
        await change.set_rate(rate)


async def set_price(
    database: Database,
    organization_id: UUID,
    rate: str,
    from_month: Month,
    amount: Decimal | None,
    *,
    currency: str | None = None,
    by: Actor,
    now: datetime,
) -> None:
    """Set the price of one unit from a month on; see `RateCardChange.set_price`."""
    async with change_rate_card(database, organization_id, by, now) as change:
        await change.set_price(rate, from_month, amount, currency)


async def assign(
    database: Database,
    organization_id: UUID,
    entries: Sequence[AssignmentEntry],
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Assign workspaces and users to cost centres, all or none; see `RateCardChange.assign`."""
    async with change_rate_card(database, organization_id, by, now) as change:
        await change.assign(entries)


def entity_id(entry: AssignmentEntry) -> UUID:
    """Return the id of the workspace or user that an entry names."""
    return (workspace_id if entry.kind is AssignedKind.WORKSPACE else user_id)(entry.name)


class RateCardChange(NamedTuple):
    """A transaction that changes the rate card. Each change is an audit event."""

    tx: Transaction
    read: RowReader
    organization_id: UUID
    closed_through: Month | None
    by: Actor
    now: datetime

    async def set_currency(self, code: str) -> Currency:
        """Set the organization's currency.

        Raises:
            CurrencyMismatch: Prices exist in another currency.
            InvalidArgument: The code is not a currency of ISO 4217.
        """
        currency = Currency.parse(code)
        current = await read_currency(self.read)
        if current is not None and current != currency and await read_prices(self.read):
            raise CurrencyMismatch(
                f"currency: prices are in {current.code}, so the currency cannot become {code}."
            )
        await update_currency(self.tx, self.organization_id, code)
        await self._audit(Action.CURRENCY_SET, code)
        return currency

    async def set_cost_centre(self, cost_centre: CostCentre) -> None:
        """Create a cost centre, or rename it. Closed months keep their name of it.

        Raises:
            InvalidArgument: The code or the name is empty, too long or contains U+0000.
        """
        _require_text("code", cost_centre.code, MAX_CODE_LENGTH)
        _require_text("name", cost_centre.name, MAX_NAME_LENGTH)
        await upsert_cost_centre(self.tx, self.organization_id, cost_centre)
        await self._audit(Action.COST_CENTRE_SET, cost_centre.code)

    async def set_rate(self, rate: Rate) -> None:
        """Create a rate, or change its name, its split or who pays it.

        Raises:
            InvalidArgument: Split and cost centre do not fit the measure, or the measure would
                change.
            NotFound: There is no such cost centre.
        """
        _require_text("code", rate.code, MAX_CODE_LENGTH)
        _require_text("name", rate.name, MAX_NAME_LENGTH)
        _require_payer(rate)
        for known in await read_rates(self.read):
            if known.code == rate.code and known.measure is not rate.measure:
                raise InvalidArgument(
                    f"measure: rate {rate.code!r} charges {known.measure}, which cannot change: "
                    f"create another rate for {rate.measure}."
                )
        if rate.cost_centre is not None:
            await require_cost_centres(self.read, [rate.cost_centre])
        await upsert_rate(self.tx, self.organization_id, rate)
        await self._audit(Action.RATE_SET, rate.code)

    async def set_price(
        self, rate: str, from_month: Month, amount: Decimal | None, currency: str | None = None
    ) -> None:
        """Set the price of one unit from a month on, until the next price; None ends it.

        Raises:
            CurrencyMismatch: `currency` is given and is not the organization's.
            InvalidArgument: The amount is negative, too large or has too many decimals; or the
                organization has no currency yet.
            MonthClosed: The month is closed.
            NotFound: There is no such rate.
        """
        _require_price(amount)
        self._require_open(from_month, "price")
        own = await read_currency(self.read)
        if own is None:
            raise InvalidArgument("currency: set the organization's currency before any price.")
        if currency not in {None, own.code}:
            raise CurrencyMismatch(
                f"currency: the organization charges in {own.code}; got a price in {currency}."
            )
        if rate not in {known.code for known in await read_rates(self.read)}:
            raise NotFound(f"rate: there is no rate {rate!r}: create it first.")
        await upsert_price(self.tx, self.organization_id, PriceRow(rate, from_month, amount))
        detail = {"from": str(from_month), "amount": None if amount is None else str(amount)}
        await self._audit(Action.PRICE_SET, rate, detail)

    async def assign(self, entries: Sequence[AssignmentEntry]) -> None:
        """Assign workspaces and users to cost centres.

        Raises:
            MonthClosed: An entry starts in a closed month.
            NotFound: A workspace, user or cost centre is not known.
        """
        entries = [entry._replace(name=normalize_name(entry.name)) for entry in entries]
        for entry in entries:
            self._require_open(entry.from_month, f"{entry.kind.lower()} {entry.name!r}")
        codes = [entry.cost_centre for entry in entries if entry.cost_centre is not None]
        await require_cost_centres(self.read, codes)
        await _require_known(self.tx, self.organization_id, entries)
        rows = [
            AssignmentRow(entry.kind, entity_id(entry), entry.from_month, entry.cost_centre)
            for entry in entries
        ]
        await upsert_assignments(self.tx, self.organization_id, rows)
        target = ", ".join(f"{entry.kind.lower()} {entry.name}" for entry in entries[:3])
        shown = [
            [entry.kind, entry.name, entry.cost_centre, str(entry.from_month)]
            for entry in entries[:100]
        ]
        await self._audit(Action.ASSIGNED, target, {"entries": shown, "count": len(entries)})

    def _require_open(self, month: Month, what: str) -> None:
        if self.closed_through is not None and month <= self.closed_through:
            first_open = self.closed_through.plus(1)
            raise MonthClosed(
                f"{what}: from {month} would change a closed month: the earliest month is "
                f"{first_open}."
            )

    async def _audit(
        self, action: Action, target: str, detail: Mapping[str, object] | None = None
    ) -> None:
        event = AuditEvent(self.organization_id, action, target, detail or {})
        await append_audit_event(self.tx, self.by, event, self.now)


@asynccontextmanager
async def change_rate_card(
    database: Database,
    organization_id: UUID,
    by: Actor,
    now: datetime,
    *,
    dry_run: bool = False,
) -> AsyncIterator[RateCardChange]:
    """Change the rate card in one transaction, which a dry run rolls back at the end."""
    transaction = database.transaction(organization_id)
    async with roll_back_at_end(transaction) if dry_run else transaction as tx:
        organization = await lock_organization(tx, organization_id)
        read = read_from_transaction(tx, organization_id)
        yield RateCardChange(tx, read, organization_id, organization.closed_through, by, now)
        await raise_revision(tx, organization_id)


def _require_text(field: str, value: str, limit: int) -> None:
    if not 1 <= len(value) <= limit or NUL in value or value != value.strip():
        raise InvalidArgument(
            f"{field}: must be 1 to {limit} characters without surrounding blanks; "
            f"got {value[:80]!r}."
        )


def _require_payer(rate: Rate) -> None:
    if rate.measure is not Measure.FEE:
        if rate.split is not None or rate.cost_centre is not None:
            raise InvalidArgument(
                f"measure: only a FEE has a split or a cost centre; got {rate.measure}."
            )
    elif (rate.split is None) == (rate.cost_centre is None):
        raise InvalidArgument(
            "split: a FEE needs either a split (EVEN or PROPORTIONAL) or the cost centre that "
            "pays it."
        )


def _require_price(amount: Decimal | None) -> None:
    if amount is None:
        return
    exponent = amount.as_tuple().exponent
    if (
        not isinstance(exponent, int)
        or exponent < -PRICE_DECIMALS
        or not 0 <= amount < PRICE_LIMIT
    ):
        raise InvalidArgument(
            f"amount: must be at least 0 and less than {PRICE_LIMIT:,}, with at most "
            f"{PRICE_DECIMALS} decimals; got {amount}."
        )


async def _require_known(
    tx: Transaction, organization_id: UUID, entries: Sequence[AssignmentEntry]
) -> None:
    for kind in AssignedKind:
        named = {entity_id(entry): entry.name for entry in entries if entry.kind is kind}
        known = await select_names(tx, organization_id, kind, list(named))
        for key, name in named.items():
            if key not in known:
                raise NotFound(
                    f"{kind.lower()}: {name!r} is not known: no event has named it yet."
                )
