"""Statements that write the month rows of an imported report."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.months import MonthTable
from app.db.unnest import OWNER, Columns
from app.domain.months import Month


class ReportedRow(NamedTuple):
    """A workspace, project or member; `keys` are in the order of the month table."""

    keys: tuple[UUID, ...]
    name: str
    experiments: int
    size_bytes: int


class ReportedUserRow(NamedTuple):
    """A user: licensed, or only a member of a workspace."""

    user_id: UUID
    username: str
    licensed: bool
    email: str | None
    role: str
    created_at: datetime | None
    created_at_is_inferred: bool
    deleted_at: datetime | None
    suspended: bool
    ui_usage_count: int
    ui_used_at: datetime | None
    sdk_usage_count: int
    sdk_used_at: datetime | None
    last_used_at: datetime | None
    experiments: int
    size_bytes: int


async def insert_reported_rows(
    tx: AsyncConnection,
    organization_id: UUID,
    month: Month,
    table: MonthTable,
    rows: Sequence[ReportedRow],
) -> None:
    """Insert the rows of workspaces, projects or members, all of them present."""
    if rows:
        values = ((*row.keys, *row[1:]) for row in rows)
        await tx.execute(
            _compose_insert(table),
            {
                "organization_id": organization_id,
                "month": month.first_day,
                **_columns_of(table).bind_rows(values),
            },
        )


@cache
def _columns_of(table: MonthTable) -> Columns:
    figures = {"experiments": "bigint", "size_bytes": "numeric"}
    return Columns(**table.key_types, **{table.name: "text"}, **figures)


@cache
def _compose_insert(table: MonthTable) -> Any:
    columns = _columns_of(table)
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, present, {columns.names})
        SELECT organization_id, CAST(:month AS date), true, {columns.names}
        FROM {OWNER} CROSS JOIN {columns.as_rows("reported")}
    """)


async def insert_reported_users(
    tx: AsyncConnection, organization_id: UUID, month: Month, rows: Sequence[ReportedUserRow]
) -> None:
    """Insert the rows of users."""
    if rows:
        await tx.execute(
            _INSERT_USERS,
            {
                "organization_id": organization_id,
                "month": month.first_day,
                **_USERS.bind_rows(rows),
            },
        )


_USERS = Columns(
    ReportedUserRow,
    user_id="uuid",
    username="text",
    licensed="boolean",
    email="text",
    role="text",
    created_at="timestamptz",
    created_at_is_inferred="boolean",
    deleted_at="timestamptz",
    suspended="boolean",
    ui_usage_count="bigint",
    ui_used_at="timestamptz",
    sdk_usage_count="bigint",
    sdk_used_at="timestamptz",
    last_used_at="timestamptz",
    experiments="bigint",
    size_bytes="numeric",
)
_INSERT_USERS = text(f"""
    INSERT INTO user_month (organization_id, month, {_USERS.names})
    SELECT organization_id, CAST(:month AS date), {_USERS.names}
    FROM {OWNER} CROSS JOIN {_USERS.as_rows("reported")}
""")
