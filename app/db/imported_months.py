"""Statements that write month rows as a report states them, whatever the events say."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.months import MonthTable
from app.db.unnest import Columns


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


async def write_stated_rows(
    tx: AsyncConnection,
    organization_id: UUID,
    month: date,
    table: MonthTable,
    rows: Sequence[StatedRow],
) -> None:
    """Replace what these rows say; other columns stay."""
    values = ((*row.keys, row.present, row.experiments, row.size_bytes) for row in rows)
    parameters = _stated_of(table).bind_rows(values)
    await tx.execute(
        _write_stated(table),
        {"organization_id": organization_id, "month": month, **parameters},
    )


@cache
def _stated_of(table: MonthTable) -> Columns:
    return Columns(**table.key_types, present="boolean", experiments="bigint", size_bytes="bigint")


@cache
def _write_stated(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, {keys}, {table.name},
                                   present, experiments, size_bytes)
        SELECT CAST(:organization_id AS uuid), CAST(:month AS date),
               {", ".join(f"said.{key}" for key in table.keys)}, named.{table.name},
               said.present, said.experiments, said.size_bytes
        FROM {_stated_of(table).as_rows("said")}
        JOIN {table.directory_table} AS named
          ON named.organization_id = :organization_id
         AND named.{table.directory_key} = said.{table.directory_key}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET
            present = excluded.present, experiments = excluded.experiments,
            size_bytes = excluded.size_bytes
    """)


async def write_stated_users(
    tx: AsyncConnection, organization_id: UUID, month: date, rows: Sequence[StatedUser]
) -> None:
    """Replace what these users' rows say; other columns stay."""
    await tx.execute(
        _WRITE_USERS,
        {"organization_id": organization_id, "month": month, **_USERS.bind_rows(rows)},
    )


_USERS = Columns(
    StatedUser,
    user_id="uuid",
    licensed="boolean",
    email="text",
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
    size_bytes="bigint",
)
_STATED = tuple(field for field in StatedUser._fields if field != "user_id")
_WRITE_USERS: Any = text(f"""
    INSERT INTO user_month (organization_id, month, user_id, username, {", ".join(_STATED)})
    SELECT CAST(:organization_id AS uuid), CAST(:month AS date), said.user_id,
           platform_user.username, {", ".join(f"said.{column}" for column in _STATED)}
    FROM {_USERS.as_rows("said")}
    JOIN platform_user ON platform_user.organization_id = :organization_id
                      AND platform_user.user_id = said.user_id
    ON CONFLICT (organization_id, month, user_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in _STATED)}
""")
