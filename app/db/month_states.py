"""Statements for the state of entities at a month's end: presence, and users' properties."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.months import MEMBER_MONTH, PROJECT_MONTH, WORKSPACE_MONTH, MonthTable
from app.db.unnest import Columns, lookup
from app.domain.months import Month


class PresenceRow(NamedTuple):
    """Whether an entity exists at a month's end."""

    month: Month
    keys: tuple[UUID, ...]
    present: bool


@cache
def _presence_columns(table: MonthTable) -> Columns:
    return Columns(month="date", **table.key_types, present="boolean")


def _compose_set_presence(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, {keys}, {table.name}, present)
        SELECT directory.organization_id, new.month,
               {", ".join(f"new.{key}" for key in table.keys)}, directory.{table.name}, new.present
        FROM {_presence_columns(table).as_rows("new")}
        CROSS JOIN {lookup(table.directory_table, table.directory_key, "new")}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET present = excluded.present
    """)


_SET_PRESENCE = {
    table.table: _compose_set_presence(table)
    for table in (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH)
}


async def set_presence(
    tx: AsyncConnection, organization_id: UUID, table: MonthTable, rows: Sequence[PresenceRow]
) -> None:
    """Record in which of these months these entities exist at the end."""
    await tx.execute(
        _SET_PRESENCE[table.table],
        {
            "organization_id": organization_id,
            **_presence_columns(table).bind_rows(
                (row.month.first_day, *row.keys, row.present) for row in rows
            ),
        },
    )


class UserMonthState(NamedTuple):
    """A user in a month; unlicensed when the user did not exist in it."""

    month: Month
    user_id: UUID
    licensed: bool
    email: str | None
    role: str | None
    service_account: bool
    suspended: bool
    created_at: datetime | None
    created_at_is_inferred: bool
    deleted_at: datetime | None


_USER_STATES = Columns(
    UserMonthState,
    month="date",
    user_id="uuid",
    licensed="boolean",
    email="text",
    role="text",
    service_account="boolean",
    suspended="boolean",
    created_at="timestamptz",
    created_at_is_inferred="boolean",
    deleted_at="timestamptz",
)
_STATE_COLUMNS = tuple(
    field for field in UserMonthState._fields if field not in {"month", "user_id"}
)
_SET_USER_STATES = text(f"""
    INSERT INTO user_month (organization_id, month, user_id, username, {", ".join(_STATE_COLUMNS)})
    SELECT directory.organization_id, new.month, new.user_id, directory.username,
           {", ".join(f"new.{column}" for column in _STATE_COLUMNS)}
    FROM {_USER_STATES.as_rows("new")}
    CROSS JOIN {lookup("platform_user", "user_id", "new")}
    ON CONFLICT (organization_id, month, user_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in _STATE_COLUMNS)}
""")


async def set_user_states(
    tx: AsyncConnection, organization_id: UUID, rows: Sequence[UserMonthState]
) -> None:
    """Record the state of these users in these months."""
    values = ((row.month.first_day, *row[1:]) for row in rows)
    await tx.execute(
        _SET_USER_STATES, {"organization_id": organization_id, **_USER_STATES.bind_rows(values)}
    )
