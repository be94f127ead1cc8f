"""Statements that write month rows.

A row's stocks are those at its month's end, so a change in one month changes that month's row and
every later one. Changes are added, and additions commute: the rows of an entity do not depend on
the order in which its changes arrived.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import Columns
from app.domain.experiments import ExperimentFigures
from app.domain.months import Month


@dataclass(frozen=True, slots=True)
class MonthTable:
    """A table of month rows: one row for each month and key.

    A new row copies its `name` column from `directory_table`, which it joins by `directory_key`.
    """

    table: str
    keys: tuple[str, ...]
    name: str
    directory_table: str
    directory_key: str

    @property
    def key_types(self) -> Mapping[str, str]:
        """The PostgreSQL type of each key."""
        return dict.fromkeys(self.keys, "uuid")


WORKSPACE_MONTH = MonthTable(
    "workspace_month", ("workspace_id",), "name", "workspace", "workspace_id"
)
PROJECT_MONTH = MonthTable(
    "project_month", ("workspace_id", "project_id"), "name", "project", "project_id"
)
MEMBER_MONTH = MonthTable(
    "member_month", ("workspace_id", "user_id"), "username", "platform_user", "user_id"
)
USER_MONTH = MonthTable("user_month", ("user_id",), "username", "platform_user", "user_id")
MONTH_TABLES = (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH, USER_MONTH)

_SAME_MONTH = "FILTER (WHERE span.month = change.month)"
_SUM = "kept.{0} + excluded.{0}"
_LATEST = "greatest(kept.{0}, excluded.{0})"


class _Aggregate(NamedTuple):
    """How changes add to a column of month rows; `{0}` stands for the column's name."""

    type: str | None
    """The column's PostgreSQL type; None for a column derived from others of the same change."""
    total: str
    """SQL for the sum of the changes of the row's month and of earlier months."""
    merged: str
    """SQL that merges the total into an existing row."""


_STOCK = _Aggregate("bigint", "sum({0})", _SUM)
_FLOW = _Aggregate("bigint", f"coalesce(sum({{0}}) {_SAME_MONTH}, 0)", _SUM)
_LAST_OF_MONTH = _Aggregate("timestamptz", f"max({{0}}) {_SAME_MONTH}", _LATEST)
_FIGURES = {
    "experiments": _STOCK,
    "unmeasured": _STOCK,
    "experiments_created": _FLOW,
    "size_bytes": _STOCK,
    "byte_microseconds": _Aggregate(
        "numeric",
        """sum(CASE WHEN span.month = change.month THEN {0}
                    ELSE size_bytes * CAST(span.microseconds AS numeric) END)""",
        _SUM,
    ),
}
_USAGE = {
    "ui_usage_count": _FLOW,
    "ui_used_at": _LAST_OF_MONTH,
    "sdk_usage_count": _FLOW,
    "sdk_used_at": _LAST_OF_MONTH,
    "last_used_at": _Aggregate(None, "max(greatest(ui_used_at, sdk_used_at))", _LATEST),
}
_AGGREGATES = {
    WORKSPACE_MONTH.table: _FIGURES,
    PROJECT_MONTH.table: _FIGURES,
    MEMBER_MONTH.table: _FIGURES,
    USER_MONTH.table: _FIGURES | _USAGE,
}

_SPAN = """unnest(CAST(:span_months AS date[]), CAST(:span_microseconds AS bigint[]))
             AS span (month, microseconds)"""


def _bind_span(months: Iterable[Month]) -> dict[str, Any]:
    span = list(months)
    return {
        "span_months": [month.first_day for month in span],
        "span_microseconds": [month.microseconds for month in span],
    }


async def carry_forward(
    tx: AsyncConnection, organization_id: UUID, last: Month, months: Sequence[Month]
) -> None:
    """Insert the rows of `months` that follow from those of `last`, the month before them.

    Stocks stay, flows start at zero, and storage is held for the whole of each month. An entity
    that neither exists nor holds experiments is not carried. A user's last use is.
    """
    parameters = {"organization_id": organization_id, "last": last.first_day, **_bind_span(months)}
    for statement in _CARRY_FORWARD:
        await tx.execute(statement, parameters)


def _compose_carry_forward(table: MonthTable, columns: Mapping[str, str], condition: str) -> Any:
    names = ", ".join((*table.keys, *columns))
    values = ", ".join((*table.keys, *columns.values()))
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, experiments, unmeasured, size_bytes,
                                   byte_microseconds, {names})
        SELECT organization_id, span.month, experiments, unmeasured, size_bytes,
               CAST(size_bytes AS numeric) * span.microseconds, {values}
        FROM {table.table} AS earlier CROSS JOIN {_SPAN}
        WHERE organization_id = :organization_id AND earlier.month = :last AND ({condition})
    """)


_IS_CARRIED = "present OR experiments <> 0"
_CARRY_FORWARD = (
    _compose_carry_forward(WORKSPACE_MONTH, {"name": "name", "present": "present"}, _IS_CARRIED),
    _compose_carry_forward(PROJECT_MONTH, {"name": "name", "present": "present"}, _IS_CARRIED),
    _compose_carry_forward(
        MEMBER_MONTH, {"username": "username", "present": "present"}, _IS_CARRIED
    ),
    _compose_carry_forward(
        USER_MONTH,
        {
            "username": "username",
            "licensed": "licensed AND deleted_at IS NULL",
            **{column: column for column in ("email", "role", "service_account", "suspended")},
            **{
                column: column for column in ("created_at", "created_at_is_inferred", "deleted_at")
            },
            "last_used_at": "last_used_at",
        },
        "TRUE",
    ),
)


class FiguresRow(NamedTuple):
    """What one month adds to an entity's figures; `keys` are in the order of the month table."""

    month: Month
    keys: tuple[UUID, ...]
    figures: ExperimentFigures


class UsageRow(NamedTuple):
    """A user's usage within a month, as one batch reports it."""

    month: Month
    user_id: UUID
    ui_usage_count: int
    ui_used_at: datetime | None
    sdk_usage_count: int
    sdk_used_at: datetime | None


async def add_figures(
    tx: AsyncConnection,
    organization_id: UUID,
    table: MonthTable,
    rows: Sequence[FiguresRow],
    months: Sequence[Month],
) -> None:
    """Add figures to the rows of their months, and stocks to the rows of later months.

    Only rows of `months` are written; an earlier change adds its stocks to them. `add_to_users`
    writes the rows of users, which have more columns.
    """
    changes = [(row.month.first_day, *row.keys, *_to_amounts(row.figures)) for row in rows]
    await _add_changes(tx, organization_id, table, changes, months)


async def add_to_users(
    tx: AsyncConnection,
    organization_id: UUID,
    figures: Iterable[FiguresRow],
    usage: Iterable[UsageRow],
    months: Sequence[Month],
) -> None:
    """Add figures, as `add_figures` does, and usage to the rows of users, in one statement.

    Uses count in their own month; later months only learn when the last one was.
    """
    changes = [
        *(
            (row.month.first_day, *row.keys, *_to_amounts(row.figures), *_NO_USAGE)
            for row in figures
        ),
        *((row.month.first_day, row.user_id, *_NO_FIGURES, *row[2:]) for row in usage),
    ]
    await _add_changes(tx, organization_id, USER_MONTH, changes, months)


def _to_amounts(figures: ExperimentFigures) -> tuple[int, ...]:
    return (
        figures.experiments,
        figures.unmeasured,
        figures.experiments_created,
        figures.size_bytes,
        figures.byte_microseconds,
    )


_NO_FIGURES = _to_amounts(ExperimentFigures())
_NO_USAGE = (0, None, 0, None)


async def _add_changes(
    tx: AsyncConnection,
    organization_id: UUID,
    table: MonthTable,
    changes: Sequence[Sequence[Any]],
    months: Sequence[Month],
) -> None:
    if changes:
        await tx.execute(
            _ADD[table.table],
            {
                "organization_id": organization_id,
                **_CHANGES[table.table].bind_rows(changes),
                **_bind_span(months),
            },
        )


def _compose_changes(table: MonthTable) -> Columns:
    types = {name: each.type for name, each in _AGGREGATES[table.table].items() if each.type}
    return Columns(month="date", **table.key_types, **types)


_CHANGES = {table.table: _compose_changes(table) for table in MONTH_TABLES}


def _compose_add(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    columns = _AGGREGATES[table.table]
    totals = ", ".join(f"{each.total.format(name)} AS {name}" for name, each in columns.items())
    merged = ", ".join(f"{name} = {each.merged.format(name)}" for name, each in columns.items())
    return text(f"""
        WITH total AS (
            SELECT span.month, {keys}, {totals}
            FROM {_CHANGES[table.table].as_rows("change")} JOIN {_SPAN}
              ON span.month >= change.month
            GROUP BY span.month, {keys}
        )
        INSERT INTO {table.table} AS kept
               (organization_id, month, {keys}, {table.name}, {", ".join(columns)})
        SELECT CAST(:organization_id AS uuid), total.month,
               {", ".join(f"total.{key}" for key in table.keys)}, directory.{table.name},
               {", ".join(f"total.{name}" for name in columns)}
        FROM total JOIN {table.directory_table} AS directory
          ON directory.organization_id = :organization_id
         AND directory.{table.directory_key} = total.{table.directory_key}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET {merged}
    """)


_ADD = {table.table: _compose_add(table) for table in MONTH_TABLES}


class PresenceRow(NamedTuple):
    """Whether an entity exists at a month's end."""

    month: Month
    keys: tuple[UUID, ...]
    present: bool


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


@cache
def _presence_columns(table: MonthTable) -> Columns:
    return Columns(month="date", **table.key_types, present="boolean")


def _compose_set_presence(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, {keys}, {table.name}, present)
        SELECT CAST(:organization_id AS uuid), new.month,
               {", ".join(f"new.{key}" for key in table.keys)}, directory.{table.name}, new.present
        FROM {_presence_columns(table).as_rows("new")}
        JOIN {table.directory_table} AS directory
          ON directory.organization_id = :organization_id
         AND directory.{table.directory_key} = new.{table.directory_key}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET present = excluded.present
    """)


_SET_PRESENCE = {
    table.table: _compose_set_presence(table)
    for table in (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH)
}


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


async def set_user_states(
    tx: AsyncConnection, organization_id: UUID, rows: Sequence[UserMonthState]
) -> None:
    """Record the state of these users in these months."""
    values = ((row.month.first_day, *row[1:]) for row in rows)
    await tx.execute(
        _SET_USER_STATES, {"organization_id": organization_id, **_USER_STATES.bind_rows(values)}
    )


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
    SELECT CAST(:organization_id AS uuid), new.month, new.user_id, platform_user.username,
           {", ".join(f"new.{column}" for column in _STATE_COLUMNS)}
    FROM {_USER_STATES.as_rows("new")}
    JOIN platform_user ON platform_user.organization_id = :organization_id
                      AND platform_user.user_id = new.user_id
    ON CONFLICT (organization_id, month, user_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in _STATE_COLUMNS)}
""")


class UnlicensedUsage(NamedTuple):
    """Usage in a month by a user who was not licensed in it, which no report shows."""

    month: Month
    user_id: UUID
    ui_usage_count: int
    sdk_usage_count: int


async def select_unlicensed_usage(
    tx: AsyncConnection, organization_id: UUID, of: Collection[tuple[Month, UUID]]
) -> Sequence[UnlicensedUsage]:
    """Return the usage in those of these months and users that are unlicensed."""
    if not of:
        return ()
    keys = ((month.first_day, user_id) for month, user_id in of)
    rows = await tx.execute(
        _SELECT_UNLICENSED_USAGE,
        {"organization_id": organization_id, **_USERS_IN_MONTHS.bind_rows(keys)},
    )
    return [UnlicensedUsage(Month.containing(row.month), *row[1:]) for row in rows]


_USERS_IN_MONTHS = Columns(month="date", user_id="uuid")
_SELECT_UNLICENSED_USAGE = text(f"""
    SELECT user_month.month, user_month.user_id, ui_usage_count, sdk_usage_count
    FROM {_USERS_IN_MONTHS.as_rows("wanted")}
    JOIN user_month
      ON user_month.organization_id = :organization_id
     AND user_month.month = wanted.month AND user_month.user_id = wanted.user_id
    WHERE NOT licensed
""")


async def select_rows(
    tx: AsyncConnection, organization_id: UUID, table: MonthTable, month: Month
) -> Sequence[Any]:
    """Return all columns of a month's rows, and `workspace`, the name of a row's workspace."""
    rows = await tx.execute(
        _SELECT_ROWS[table.table], {"organization_id": organization_id, "month": month.first_day}
    )
    return rows.all()


def _compose_select_rows(table: MonthTable) -> Any:
    if "workspace_id" not in table.keys:
        return text(f"""
            SELECT * FROM {table.table} WHERE organization_id = :organization_id AND month = :month
        """)
    return text(f"""
        SELECT shown.*, workspace.name AS workspace FROM {table.table} AS shown
        JOIN workspace ON workspace.organization_id = :organization_id
                      AND workspace.workspace_id = shown.workspace_id
        WHERE shown.organization_id = :organization_id AND shown.month = :month
    """)


_SELECT_ROWS = {table.table: _compose_select_rows(table) for table in MONTH_TABLES}


async def delete_rows(tx: AsyncConnection, organization_id: UUID, month: Month) -> None:
    """Delete a month's rows, so that they can be written again."""
    for table in MONTH_TABLES:
        await tx.execute(
            text(f"""
                DELETE FROM {table.table}
                WHERE organization_id = :organization_id AND month = :month
            """),
            {"organization_id": organization_id, "month": month.first_day},
        )


class MonthTotals(NamedTuple):
    """The totals of a month's rows."""

    workspaces: int = 0
    projects: int = 0
    members: int = 0
    licensed_users: int = 0
    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    ui_usage: int = 0
    sdk_usage: int = 0


async def select_totals(tx: AsyncConnection, organization_id: UUID) -> dict[Month, MonthTotals]:
    """Return the totals of each month that has rows."""
    rows = await tx.execute(_SELECT_TOTALS, {"organization_id": organization_id})
    return {Month.containing(row.month): MonthTotals(*map(int, row[1:])) for row in rows}


def _compose_total(table: str, columns: Mapping[str, str]) -> str:
    """Compose a part of the union: the columns that a table has, and 0 for the others."""
    shown = ", ".join(f"{columns.get(name, '0')} AS {name}" for name in MonthTotals._fields)
    return f"""
        SELECT month, {shown} FROM {table}
        WHERE organization_id = :organization_id GROUP BY month
    """


_PRESENT = "count(*) FILTER (WHERE present)"
_SELECT_TOTALS = text(f"""
    SELECT month, {", ".join(f"sum({name}) AS {name}" for name in MonthTotals._fields)}
    FROM ({
    " UNION ALL ".join(
        (
            _compose_total(
                "workspace_month",
                {
                    "workspaces": _PRESENT,
                    "experiments": "sum(experiments)",
                    "experiments_created": "sum(experiments_created)",
                    "size_bytes": "sum(size_bytes)",
                },
            ),
            _compose_total("project_month", {"projects": _PRESENT}),
            _compose_total("member_month", {"members": _PRESENT}),
            _compose_total(
                "user_month",
                {
                    "licensed_users": "count(*) FILTER (WHERE licensed)",
                    "ui_usage": "sum(ui_usage_count)",
                    "sdk_usage": "sum(sdk_usage_count)",
                },
            ),
        )
    )
}) AS part
    GROUP BY month ORDER BY month
""")
