"""Statements of the rate card: cost centres, assignments, rates and prices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.levels import ORGANIZATION
from app.db.row_reader import RowReader
from app.db.statements import Composable, compile_once
from app.db.tables import (
    Assignment,
    Base,
    CostCentre,
    Organization,
    PlatformUser,
    Price,
    Rate,
    Workspace,
)
from app.domain import rates
from app.domain.errors import NotFound
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import AssignedKind, Measure, RateCard, Split


class PriceRow(NamedTuple):
    """The price of a rate from a month on; None ends it."""

    rate: str
    from_month: Month
    amount: Decimal | None


class AssignmentRow(NamedTuple):
    """The cost centre of a workspace or user from a month on; None ends it."""

    kind: AssignedKind
    entity_id: UUID
    from_month: Month
    cost_centre: str | None


async def read_currency(read: RowReader) -> Currency | None:
    """Return the organization's currency; None while it charges nothing."""
    [(code,)] = await read(_select_currency(), {})
    return None if code is None else Currency.parse(code)


async def read_cost_centres(read: RowReader) -> Sequence[rates.CostCentre]:
    """Return the cost centres, sorted by code."""
    return [rates.CostCentre(*row) for row in await read(_select_cost_centres(), {})]


async def require_cost_centres(
    read: RowReader, codes: Iterable[str]
) -> Mapping[str, rates.CostCentre]:
    """Return all cost centres by code, if those with the given codes are among them.

    Raises:
        NotFound: There is no cost centre with one of the codes.
    """
    known = {centre.code: centre for centre in await read_cost_centres(read)}
    for code in codes:
        if code not in known:
            raise NotFound(f"costCentre: there is no cost centre {code[:80]!r}.")
    return known


async def read_rates(read: RowReader) -> Sequence[rates.Rate]:
    """Return the rates, sorted by code."""
    return [
        rates.Rate(
            code, name, Measure(measure), None if split is None else Split(split), cost_centre
        )
        for code, name, measure, split, cost_centre in await read(_select_rates(), {})
    ]


async def read_prices(read: RowReader) -> Sequence[PriceRow]:
    """Return all prices of all rates, sorted by rate and month."""
    rows = await read(_select_prices(), {})
    return [PriceRow(rate, Month.containing(day), amount) for rate, day, amount in rows]


async def read_assignments(read: RowReader) -> Sequence[AssignmentRow]:
    """Return all assignments, sorted by kind, entity and month."""
    rows = await read(_select_assignments(), {})
    return [
        AssignmentRow(AssignedKind(kind), key, Month.containing(day), cost_centre)
        for kind, key, day, cost_centre in rows
    ]


async def read_rate_card(read: RowReader) -> RateCard:
    """Return the whole rate card."""
    prices: dict[str, dict[Month, Decimal | None]] = defaultdict(dict)
    for price in await read_prices(read):
        prices[price.rate][price.from_month] = price.amount
    assigned: dict[AssignedKind, dict[UUID, dict[Month, str | None]]] = {
        kind: defaultdict(dict) for kind in AssignedKind
    }
    for row in await read_assignments(read):
        assigned[row.kind][row.entity_id][row.from_month] = row.cost_centre
    return RateCard(
        await read_currency(read),
        {centre.code: centre for centre in await read_cost_centres(read)},
        await read_rates(read),
        prices,
        assigned[AssignedKind.WORKSPACE],
        assigned[AssignedKind.USER],
    )


@compile_once
def _select_currency() -> Composable:
    return select(Organization.currency).where(Organization.organization_id == ORGANIZATION)


@compile_once
def _select_cost_centres() -> Composable:
    return _select_all(CostCentre, "code", "name")


@compile_once
def _select_rates() -> Composable:
    return _select_all(Rate, "code", "name", "measure", "split", "cost_centre")


@compile_once
def _select_prices() -> Composable:
    return _select_all(Price, "rate", "from_month", "amount")


@compile_once
def _select_assignments() -> Composable:
    return _select_all(Assignment, "kind", "entity_id", "from_month", "cost_centre")


def _select_all(table: type[Base], *names: str) -> Composable:
    """Select these columns of all the organization's rows, sorted by primary key."""
    columns = table.__table__.c
    return (
        select(*(columns[name] for name in names))
        .where(columns.organization_id == ORGANIZATION)
        .order_by(*table.__table__.primary_key)
    )


async def update_currency(tx: AsyncConnection, organization_id: UUID, currency: str) -> None:
    """Set the organization's currency."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(currency=currency)
    )


async def upsert_cost_centre(
    tx: AsyncConnection, organization_id: UUID, cost_centre: rates.CostCentre
) -> None:
    """Create a cost centre, or rename it."""
    statement = insert(CostCentre).values(organization_id=organization_id, **cost_centre._asdict())
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "code"], set_={"name": statement.excluded.name}
        )
    )


async def upsert_rate(tx: AsyncConnection, organization_id: UUID, rate: rates.Rate) -> None:
    """Create a rate, or change it."""
    statement = insert(Rate).values(organization_id=organization_id, **rate._asdict())
    changed = {name: statement.excluded[name] for name in rate._fields if name != "code"}
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["organization_id", "code"], set_=changed)
    )


async def upsert_price(tx: AsyncConnection, organization_id: UUID, price: PriceRow) -> None:
    """Set the price of a rate from a month on."""
    statement = insert(Price).values(
        organization_id=organization_id,
        rate=price.rate,
        from_month=price.from_month.first_day,
        amount=price.amount,
    )
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "rate", "from_month"],
            set_={"amount": statement.excluded.amount},
        )
    )


async def upsert_assignments(
    tx: AsyncConnection, organization_id: UUID, assignments: Iterable[AssignmentRow]
) -> None:
    """Set the cost centres of workspaces and users from a month on."""
    rows = [
        {
            "organization_id": organization_id,
            "kind": row.kind,
            "entity_id": row.entity_id,
            "from_month": row.from_month.first_day,
            "cost_centre": row.cost_centre,
        }
        for row in assignments
    ]
    statement = insert(Assignment)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "kind", "entity_id", "from_month"],
            set_={"cost_centre": statement.excluded.cost_centre},
        ),
        rows,
    )


async def select_names(
    tx: AsyncConnection, organization_id: UUID, kind: AssignedKind, ids: Sequence[UUID]
) -> dict[UUID, str]:
    """Return the names of those workspaces, or users, that the organization knows, by id."""
    columns = (
        (Workspace.workspace_id, Workspace.name, Workspace.organization_id)
        if kind is AssignedKind.WORKSPACE
        else (PlatformUser.user_id, PlatformUser.username, PlatformUser.organization_id)
    )
    key, name, organization = columns
    found = await tx.execute(
        select(key, name).where(organization == organization_id, key.in_(ids))
    )
    return {row[0]: row[1] for row in found}


async def raise_revision(tx: AsyncConnection, organization_id: UUID) -> None:
    """Count a change of the rate card, so that nothing cached from before it is used."""
    await tx.execute(
        text("""
            UPDATE organization SET revision = revision + 1
            WHERE organization_id = :organization_id
        """),
        {"organization_id": organization_id},
    )
