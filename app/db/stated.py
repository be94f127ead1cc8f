"""Statements that write month rows as a report states them, whatever the events say."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.months import MonthTable


class StatedRow(NamedTuple):
    """A workspace, project or member as stated; `keys` as its month table names them."""

    keys: tuple[UUID, ...]
    present: bool
    experiments: int
    size_bytes: int


class StatedUser(NamedTuple):
    """A user as stated."""

    user_id: UUID
    licensed: bool
    email: str | None
    created_at: datetime | None
    created_at_is_first_sign: bool
    deleted_at: datetime | None
    suspended: bool
    ui_usage_count: int
    ui_used_at: datetime | None
    sdk_usage_count: int
    sdk_used_at: datetime | None
    last_used_at: datetime | None
    experiments: int
    size_bytes: int


async def write_stated(
    tx: AsyncConnection,
    organization_id: UUID,
    month: date,
    table: MonthTable,
    rows: Sequence[StatedRow],
) -> None:
    """Replace what these rows say; other columns stay."""
    keys = dict(
        zip(table.keys, map(list, zip(*(row.keys for row in rows), strict=True)), strict=True)
    )
    names = ", ".join(table.keys)
    arrays = ", ".join(f"CAST(:{key} AS uuid[])" for key in table.keys)
    columns = "present, experiments, size_bytes"
    statement = text(f"""
        INSERT INTO {table.table} (organization_id, month, {names}, {table.name}, {columns})
        SELECT CAST(:organization_id AS uuid), CAST(:month AS date),
               {", ".join(f"said.{key}" for key in table.keys)}, named.{table.name},
               said.present, said.experiments, said.size_bytes
        FROM unnest({arrays}, CAST(:present AS boolean[]), CAST(:experiments AS bigint[]),
                    CAST(:size_bytes AS bigint[])) AS said ({names}, {columns})
        JOIN {table.named_in} AS named
          ON named.organization_id = :organization_id
         AND named.{table.named_by} = said.{table.named_by}
        ON CONFLICT (organization_id, month, {names}) DO UPDATE SET
            present = excluded.present, experiments = excluded.experiments,
            size_bytes = excluded.size_bytes
    """)
    await tx.execute(
        statement,
        {
            "organization_id": organization_id,
            "month": month,
            "present": [row.present for row in rows],
            "experiments": [row.experiments for row in rows],
            "size_bytes": [row.size_bytes for row in rows],
            **keys,
        },
    )


async def write_stated_users(
    tx: AsyncConnection, organization_id: UUID, month: date, rows: Sequence[StatedUser]
) -> None:
    """Replace what these users' rows say; other columns stay."""
    columns = dict(zip(StatedUser._fields, map(list, zip(*rows, strict=True)), strict=True))
    await tx.execute(_WRITE_USERS, {"organization_id": organization_id, "month": month, **columns})


_TYPES = {
    "licensed": "boolean",
    "email": "text",
    "suspended": "boolean",
    "created_at_is_first_sign": "boolean",
    **dict.fromkeys(
        ("created_at", "deleted_at", "ui_used_at", "sdk_used_at", "last_used_at"), "timestamptz"
    ),
    **dict.fromkeys(("ui_usage_count", "sdk_usage_count", "experiments", "size_bytes"), "bigint"),
}
_WRITE_USERS: Any = text(f"""
    INSERT INTO user_month (organization_id, month, user_id, username, {", ".join(_TYPES)})
    SELECT CAST(:organization_id AS uuid), CAST(:month AS date), said.user_id, account.username,
           {", ".join(f"said.{column}" for column in _TYPES)}
    FROM unnest(CAST(:user_id AS uuid[]),
                {", ".join(f"CAST(:{column} AS {kind}[])" for column, kind in _TYPES.items())})
         AS said (user_id, {", ".join(_TYPES)})
    JOIN account ON account.organization_id = :organization_id AND account.user_id = said.user_id
    ON CONFLICT (organization_id, month, user_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in _TYPES)}
""")
