"""Read compiled statements alike from a request's snapshot and within a transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.snapshot import Snapshot
from app.db.statements import Statement

RowReader = Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[tuple[Any, ...]]]]
"""Executes a statement for one organization and returns its rows, which are the driver's own."""


def read_from_snapshot(snapshot: Snapshot, organization_id: UUID) -> RowReader:
    """Return a reader of what a request sees."""

    async def read(
        statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[tuple[Any, ...]]:
        return await snapshot.fetch_rows(statement, parameters, organization_id=organization_id)

    return read


def read_from_transaction(tx: AsyncConnection, organization_id: UUID) -> RowReader:
    """Return a reader of what a transaction sees, its own changes included."""

    async def read(
        statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[tuple[Any, ...]]:
        connection: Any = (await tx.get_raw_connection()).driver_connection
        arguments = statement.arguments({**parameters, "organization_id": organization_id})
        rows: Sequence[tuple[Any, ...]] = await connection.fetch(statement.text, *arguments)
        return rows

    return read
