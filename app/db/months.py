"""Statements that carry month rows forward, add to their figures, read and delete them.

A row's stocks are those at its month's end, so a change in one month changes that month's row and
every later one. Changes are added, and additions commute: the rows of an entity do not depend on
the order in which its changes arrived.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import Columns, lookup
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
_SUM = "existing.{0} + excluded.{0}"
_LATEST = "greatest(existing.{0}, excluded.{0})"


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
    "size_bytes": _Aggregate("numeric", "sum({0})", _SUM),
    "byte_microseconds": _Aggregate(
        "numeric",
        """sum(CASE WHEN span.month = change.month THEN {0}
                    ELSE size_bytes * span.microseconds END)""",
        _SUM,
    ),
    "last_experiment_at": _Aggregate("timestamptz", "max({0})", _LATEST),
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


def _compose_carry_forward(table: MonthTable, columns: Mapping[str, str], condition: str) -> Any:
    names = ", ".join((*table.keys, *columns))
    values = ", ".join((*table.keys, *columns.values()))
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, experiments, unmeasured, size_bytes,
                                   byte_microseconds, last_experiment_at, {names})
        SELECT organization_id, span.month, experiments, unmeasured, size_bytes,
               size_bytes * span.microseconds, last_experiment_at, {values}
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


async def carry_forward(
    tx: AsyncConnection, organization_id: UUID, last: Month, months: Sequence[Month]
) -> None:
    """Insert the rows of `months` that follow from those of `last`, the month before them.

    Stocks stay, flows start at zero, and storage is held for the whole of each month. An entity
    that neither exists nor holds experiments is not carried. The last use and the last activity
    of experiments are.
    """
    parameters = {"organization_id": organization_id, "last": last.first_day, **_bind_span(months)}
    for statement in _CARRY_FORWARD:
        await tx.execute(statement, parameters)


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
        INSERT INTO {table.table} AS existing
               (organization_id, month, {keys}, {table.name}, {", ".join(columns)})
        SELECT directory.organization_id, total.month,
               {", ".join(f"total.{key}" for key in table.keys)}, directory.{table.name},
               {", ".join(f"total.{name}" for name in columns)}
        FROM total
        CROSS JOIN {lookup(table.directory_table, table.directory_key, "total")}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET {merged}
    """)


_ADD = {table.table: _compose_add(table) for table in MONTH_TABLES}


def _to_amounts(figures: ExperimentFigures) -> tuple[Any, ...]:
    return (
        figures.experiments,
        figures.unmeasured,
        figures.experiments_created,
        figures.size_bytes,
        figures.byte_microseconds,
        figures.last_experiment_at,
    )


_NO_FIGURES = _to_amounts(ExperimentFigures())
_NO_USAGE = (0, None, 0, None)


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

    Uses count in their own month; later months only get the time of the last use.
    """
    changes = [
        *(
            (row.month.first_day, *row.keys, *_to_amounts(row.figures), *_NO_USAGE)
            for row in figures
        ),
        *((row.month.first_day, row.user_id, *_NO_FIGURES, *row[2:]) for row in usage),
    ]
    await _add_changes(tx, organization_id, USER_MONTH, changes, months)


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


def _compose_restore_activity(table: MonthTable) -> Any:
    same = " AND ".join(f"earlier.{key} = resumed.{key}" for key in table.keys)
    chosen = " AND ".join(f"resumed.{key} = chosen.{key}" for key in table.keys)
    return text(f"""
        UPDATE {table.table} AS resumed SET last_experiment_at = (
            SELECT max(earlier.last_experiment_at) FROM {table.table} AS earlier
            WHERE earlier.organization_id = :organization_id
              AND earlier.month = ANY(CAST(:known_months AS date[]))
              AND earlier.month <= resumed.month AND {same}
        )
        FROM {_KEYS[table.table].as_rows("chosen")}
        WHERE resumed.organization_id = :organization_id AND resumed.month = chosen.month
          AND {chosen}
    """)


_KEYS = {table.table: Columns(month="date", **table.key_types) for table in MONTH_TABLES}
_RESTORE_ACTIVITY = {table.table: _compose_restore_activity(table) for table in MONTH_TABLES}


async def restore_activity(
    tx: AsyncConnection,
    organization_id: UUID,
    table: MonthTable,
    rows: Iterable[tuple[Month, tuple[UUID, ...]]],
    known_months: Iterable[Month],
) -> None:
    """Set the last activity of rows whose entity exists again, from its rows of earlier months.

    Rows of an entity that does not exist are not carried, so its last activity is not either.

    Args:
        tx: The transaction.
        organization_id: The organization.
        table: The month table.
        rows: The months and keys of the rows.
        known_months: The months that may have earlier rows.
    """
    values = [(month.first_day, *keys) for month, keys in rows]
    if values:
        await tx.execute(
            _RESTORE_ACTIVITY[table.table],
            {
                "organization_id": organization_id,
                "known_months": [month.first_day for month in known_months],
                **_KEYS[table.table].bind_rows(values),
            },
        )


def _compose_select_rows(table: MonthTable) -> Any:
    if "workspace_id" not in table.keys:
        return text(f"""
            SELECT * FROM {table.table} WHERE organization_id = :organization_id AND month = :month
        """)
    return text(f"""
        SELECT month_row.*, workspace.name AS workspace FROM {table.table} AS month_row
        JOIN workspace ON workspace.organization_id = :organization_id
                      AND workspace.workspace_id = month_row.workspace_id
        WHERE month_row.organization_id = :organization_id AND month_row.month = :month
    """)


_SELECT_ROWS = {table.table: _compose_select_rows(table) for table in MONTH_TABLES}


async def select_rows(
    tx: AsyncConnection, organization_id: UUID, table: MonthTable, month: Month
) -> Sequence[Any]:
    """Return all columns of a month's rows, and `workspace`, the name of a row's workspace."""
    rows = await tx.execute(
        _SELECT_ROWS[table.table], {"organization_id": organization_id, "month": month.first_day}
    )
    return rows.all()


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


async def count_written_rows(tx: AsyncConnection) -> int:
    """Return how many month rows and corrections this transaction has written so far."""
    tables = [*(table.table for table in MONTH_TABLES), "correction"]
    written = await tx.execute(
        text("""
            SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0) FROM pg_stat_xact_user_tables
            WHERE schemaname = current_schema() AND relname = ANY(:tables)
        """),
        {"tables": tables},
    )
    return int(written.scalar_one())
