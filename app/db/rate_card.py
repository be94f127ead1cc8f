"""Statements of the rate card: cost centres, assignments, rates and prices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import String, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.report_windows import ORGANIZATION
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
    return [_to_rate(*row) for row in await read(_select_rates(), {})]


async def read_prices(read: RowReader) -> Sequence[PriceRow]:
    """Return all prices of all rates, sorted by rate and month."""
    rows = await read(_select_prices(), {})
    return [PriceRow(rate, Month.containing(day), amount) for rate, day, amount in rows]


async def read_rate_card(read: RowReader) -> RateCard:
    """Return the whole rate card, with one statement."""
    [row] = await read(_select_rate_card(), {})
    currency, *tables = row
    cost_centres, found_rates, prices, assignments = map(orjson.loads, tables)
    histories: dict[str, dict[Month, Decimal | None]] = defaultdict(dict)
    for rate, day, amount in prices:
        histories[rate][Month.parse(day[:7])] = None if amount is None else Decimal(amount)
    assigned: dict[str, dict[UUID, dict[Month, str | None]]] = {
        kind: defaultdict(dict) for kind in AssignedKind
    }
    for kind, key, day, cost_centre in assignments:
        assigned[kind][UUID(key)][Month.parse(day[:7])] = cost_centre
    return RateCard(
        None if currency is None else Currency.parse(currency),
        {code: rates.CostCentre(code, name) for code, name in cost_centres},
        [_to_rate(*values) for values in found_rates],
        histories,
        assigned[AssignedKind.WORKSPACE],
        assigned[AssignedKind.USER],
    )


def _to_rate(
    code: str, name: str, measure: str, split: str | None, cost_centre: str | None
) -> rates.Rate:
    return rates.Rate(
        code, name, Measure(measure), None if split is None else Split(split), cost_centre
    )


@compile_once
def _select_rate_card() -> Composable:
    """Select the currency, and each table as a JSON array of rows."""
    columns: tuple[Any, ...] = (
        Organization.currency,
        _all_rows(CostCentre, *_COST_CENTRE_COLUMNS),
        _all_rows(Rate, *_RATE_COLUMNS),
        _all_rows(Price, *_PRICE_COLUMNS),
        _all_rows(Assignment, "kind", "entity_id", "from_month", "cost_centre"),
    )
    return select(*columns).where(Organization.organization_id == ORGANIZATION)


_COST_CENTRE_COLUMNS = ("code", "name")
_RATE_COLUMNS = ("code", "name", "measure", "split", "cost_centre")
_PRICE_COLUMNS = ("rate", "from_month", "amount")


def _all_rows(table: type[Base], *names: str) -> Any:
    """Return all the organization's rows as a JSON array of arrays, sorted by primary key."""
    columns = table.__table__.c
    row = func.json_build_array(*(cast(columns[name], String) for name in names))
    rows = func.json_agg(aggregate_order_by(row, *table.__table__.primary_key))
    return (
        select(func.coalesce(cast(rows, String), "[]"))
        .where(columns.organization_id == ORGANIZATION)
        .scalar_subquery()
        .label(table.__tablename__)
    )


@compile_once
def _select_currency() -> Composable:
    return select(Organization.currency).where(Organization.organization_id == ORGANIZATION)


@compile_once
def _select_cost_centres() -> Composable:
    return _select_all(CostCentre, *_COST_CENTRE_COLUMNS)


@compile_once
def _select_rates() -> Composable:
    return _select_all(Rate, *_RATE_COLUMNS)


@compile_once
def _select_prices() -> Composable:
    return _select_all(Price, *_PRICE_COLUMNS)


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


async def inherit_assignment(
    tx: AsyncConnection, organization_id: UUID, source: UUID, heir: UUID, from_month: Month
) -> None:
    """Give a user the cost centre of another from a month on, unless the user has assignments."""
    await tx.execute(
        text("""
            INSERT INTO assignment (organization_id, kind, entity_id, from_month, cost_centre)
            SELECT organization_id, kind, CAST(:heir AS uuid), CAST(:month AS date), cost_centre
            FROM assignment
            WHERE organization_id = :organization_id AND kind = :kind AND entity_id = :source
              AND from_month <= CAST(:month AS date)
              AND NOT EXISTS (
                  SELECT FROM assignment
                  WHERE organization_id = :organization_id AND kind = :kind AND entity_id = :heir)
            ORDER BY from_month DESC LIMIT 1
        """),
        {
            "organization_id": organization_id,
            "kind": AssignedKind.USER,
            "source": source,
            "heir": heir,
            "month": from_month.first_day,
        },
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
