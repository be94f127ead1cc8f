"""Statements that write month rows.

A row's stocks are those at its month's end. So whatever changes in a month changes that month's
row and each later one; what is added commutes, and the rows of a thing are the same whichever of
its changes came first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
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

    A new row takes its `name` from the directory table `named_in`, by the key `named_by`.
    """

    table: str
    keys: tuple[str, ...]
    name: str
    named_in: str
    named_by: str

    @property
    def key_types(self) -> Mapping[str, str]:
        """PostgreSQL's type of each key."""
        return dict.fromkeys(self.keys, "uuid")


WORKSPACE_MONTH = MonthTable(
    "workspace_month", ("workspace_id",), "name", "workspace", "workspace_id"
)
PROJECT_MONTH = MonthTable(
    "project_month", ("workspace_id", "project_id"), "name", "project", "project_id"
)
MEMBER_MONTH = MonthTable(
    "member_month", ("workspace_id", "user_id"), "username", "account", "user_id"
)
USER_MONTH = MonthTable("user_month", ("user_id",), "username", "account", "user_id")
MONTH_TABLES = (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH, USER_MONTH)

_OF_MONTH = "FILTER (WHERE span.month = change.month)"
_SUM = "kept.{0} + excluded.{0}"
_LATEST = "greatest(kept.{0}, excluded.{0})"


class _Added(NamedTuple):
    """A column of month rows that changes add to; `{0}` stands for its name."""

    type: str | None
    """None where the column follows from others of the same change."""
    total: str
    """What the changes of the row's month, and of those before it, come to."""
    kept: str
    """How that goes into a row which is there."""


_STOCK = _Added("bigint", "sum({0})", _SUM)
_FLOW = _Added("bigint", f"coalesce(sum({{0}}) {_OF_MONTH}, 0)", _SUM)
_LAST_OF_MONTH = _Added("timestamptz", f"max({{0}}) {_OF_MONTH}", _LATEST)
_FIGURES = {
    "experiments": _STOCK,
    "unmeasured": _STOCK,
    "experiments_created": _FLOW,
    "size_bytes": _STOCK,
    "byte_microseconds": _Added(
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
    "last_used_at": _Added(None, "max(greatest(ui_used_at, sdk_used_at))", _LATEST),
}
_ADDED = {
    WORKSPACE_MONTH.table: _FIGURES,
    PROJECT_MONTH.table: _FIGURES,
    MEMBER_MONTH.table: _FIGURES,
    USER_MONTH.table: _FIGURES | _USAGE,
}

_SPAN = """unnest(CAST(:span_months AS date[]), CAST(:span_microseconds AS bigint[]))
             AS span (month, microseconds)"""


def _span(months: Iterable[Month]) -> dict[str, Any]:
    span = list(months)
    return {
        "span_months": [month.first_day for month in span],
        "span_microseconds": [month.microseconds for month in span],
    }


async def carry_forward(
    tx: AsyncConnection, organization_id: UUID, last: Month, months: Sequence[Month]
) -> None:
    """Give `months` the rows that follow from those of `last`, the month before them.

    Stocks stay, flows start at nothing, storage is held for the whole of each month. What neither
    exists nor holds anything ends with its month; a user's last use is remembered.
    """
    parameters = {"organization_id": organization_id, "last": last.first_day, **_span(months)}
    for statement in _CARRY_FORWARD:
        await tx.execute(statement, parameters)


def _carry_forward(table: MonthTable, columns: Mapping[str, str], kept: str) -> Any:
    names = ", ".join((*table.keys, *columns))
    values = ", ".join((*table.keys, *columns.values()))
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, experiments, unmeasured, size_bytes,
                                   byte_microseconds, {names})
        SELECT organization_id, span.month, experiments, unmeasured, size_bytes,
               CAST(size_bytes AS numeric) * span.microseconds, {values}
        FROM {table.table} AS earlier CROSS JOIN {_SPAN}
        WHERE organization_id = :organization_id AND earlier.month = :last AND ({kept})
    """)


_THERE = "present OR experiments <> 0"
_CARRY_FORWARD = (
    _carry_forward(WORKSPACE_MONTH, {"name": "name", "present": "present"}, _THERE),
    _carry_forward(PROJECT_MONTH, {"name": "name", "present": "present"}, _THERE),
    _carry_forward(MEMBER_MONTH, {"username": "username", "present": "present"}, _THERE),
    _carry_forward(
        USER_MONTH,
        {
            "username": "username",
            "licensed": "licensed AND deleted_at IS NULL",
            **{column: column for column in ("email", "role", "service_account", "suspended")},
            **{
                column: column
                for column in ("created_at", "created_at_is_first_sign", "deleted_at")
            },
            "last_used_at": "last_used_at",
        },
        "TRUE",
    ),
)


class FiguresRow(NamedTuple):
    """What one month adds to the figures of a thing; `keys` as the month table names them."""

    month: Month
    keys: tuple[UUID, ...]
    figures: ExperimentFigures


class UsageRow(NamedTuple):
    """A user's usage within a month, as far as one batch tells it."""

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
    """Add to the rows of the months in which something changed, and its stocks to later ones.

    Only rows of `months` are written: of a change before the first of them, the stocks. The rows
    of users hold more; `add_to_users` writes them.
    """
    changes = [(row.month.first_day, *row.keys, *_amounts(row.figures)) for row in rows]
    await _add(tx, organization_id, table, changes, months)


async def add_to_users(
    tx: AsyncConnection,
    organization_id: UUID,
    figures: Iterable[FiguresRow],
    usage: Iterable[UsageRow],
    months: Sequence[Month],
) -> None:
    """Add figures, as `add_figures` does, and usage to the rows of users, each written once.

    Uses count in their month; later months learn of the last one.
    """
    changes = [
        *((row.month.first_day, *row.keys, *_amounts(row.figures), *_NO_USAGE) for row in figures),
        *((row.month.first_day, row.user_id, *_NO_FIGURES, *row[2:]) for row in usage),
    ]
    await _add(tx, organization_id, USER_MONTH, changes, months)


def _amounts(figures: ExperimentFigures) -> tuple[int, ...]:
    return (
        figures.experiments,
        figures.unmeasured,
        figures.experiments_created,
        figures.size_bytes,
        figures.byte_microseconds,
    )


_NO_FIGURES = _amounts(ExperimentFigures())
_NO_USAGE = (0, None, 0, None)


async def _add(
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
                **_span(months),
            },
        )


def _changes_of(table: MonthTable) -> Columns:
    types = {name: added.type for name, added in _ADDED[table.table].items() if added.type}
    return Columns(month="date", **table.key_types, **types)


_CHANGES = {table.table: _changes_of(table) for table in MONTH_TABLES}


def _adding(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    added = _ADDED[table.table]
    totals = ", ".join(f"{each.total.format(name)} AS {name}" for name, each in added.items())
    kept = ", ".join(f"{name} = {each.kept.format(name)}" for name, each in added.items())
    return text(f"""
        WITH total AS (
            SELECT span.month, {keys}, {totals}
            FROM {_CHANGES[table.table].as_rows("change")} JOIN {_SPAN}
              ON span.month >= change.month
            GROUP BY span.month, {keys}
        )
        INSERT INTO {table.table} AS kept
               (organization_id, month, {keys}, {table.name}, {", ".join(added)})
        SELECT CAST(:organization_id AS uuid), total.month,
               {", ".join(f"total.{key}" for key in table.keys)}, named.{table.name},
               {", ".join(f"total.{name}" for name in added)}
        FROM total JOIN {table.named_in} AS named
          ON named.organization_id = :organization_id
         AND named.{table.named_by} = total.{table.named_by}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET {kept}
    """)


_ADD = {table.table: _adding(table) for table in MONTH_TABLES}


class PresenceRow(NamedTuple):
    """Whether a thing exists at a month's end."""

    month: Month
    keys: tuple[UUID, ...]
    present: bool


async def set_presence(
    tx: AsyncConnection, organization_id: UUID, table: MonthTable, rows: Sequence[PresenceRow]
) -> None:
    """Say in which of these months these things exist at the end."""
    await tx.execute(
        _SET_PRESENCE[table.table],
        {
            "organization_id": organization_id,
            **_presence_of(table).bind_rows(
                (row.month.first_day, *row.keys, row.present) for row in rows
            ),
        },
    )


@cache
def _presence_of(table: MonthTable) -> Columns:
    return Columns(month="date", **table.key_types, present="boolean")


def _set_presence(table: MonthTable) -> Any:
    keys = ", ".join(table.keys)
    return text(f"""
        INSERT INTO {table.table} (organization_id, month, {keys}, {table.name}, present)
        SELECT CAST(:organization_id AS uuid), said.month,
               {", ".join(f"said.{key}" for key in table.keys)}, named.{table.name}, said.present
        FROM {_presence_of(table).as_rows("said")}
        JOIN {table.named_in} AS named
          ON named.organization_id = :organization_id
         AND named.{table.named_by} = said.{table.named_by}
        ON CONFLICT (organization_id, month, {keys}) DO UPDATE SET present = excluded.present
    """)


_SET_PRESENCE = {
    table.table: _set_presence(table) for table in (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH)
}


class AccountMonthRow(NamedTuple):
    """An account in a month; unlicensed when it did not exist in it, or not yet."""

    month: date
    user_id: UUID
    licensed: bool
    email: str | None
    role: str | None
    service_account: bool
    suspended: bool
    created_at: datetime | None
    created_at_is_first_sign: bool
    deleted_at: datetime | None


async def set_accounts(
    tx: AsyncConnection, organization_id: UUID, rows: Sequence[AccountMonthRow]
) -> None:
    """Say how these accounts stand in these months."""
    await tx.execute(
        _SET_ACCOUNTS, {"organization_id": organization_id, **_ACCOUNTS.bind_rows(rows)}
    )


_ACCOUNTS = Columns(
    AccountMonthRow,
    month="date",
    user_id="uuid",
    licensed="boolean",
    email="text",
    role="text",
    service_account="boolean",
    suspended="boolean",
    created_at="timestamptz",
    created_at_is_first_sign="boolean",
    deleted_at="timestamptz",
)
_SAID = tuple(field for field in AccountMonthRow._fields if field not in {"month", "user_id"})
_SET_ACCOUNTS = text(f"""
    INSERT INTO user_month (organization_id, month, user_id, username, {", ".join(_SAID)})
    SELECT CAST(:organization_id AS uuid), said.month, said.user_id, account.username,
           {", ".join(f"said.{column}" for column in _SAID)}
    FROM {_ACCOUNTS.as_rows("said")}
    JOIN account ON account.organization_id = :organization_id AND account.user_id = said.user_id
    ON CONFLICT (organization_id, month, user_id) DO UPDATE SET
        {", ".join(f"{column} = excluded.{column}" for column in _SAID)}
""")


async def select_hidden_usage(
    tx: AsyncConnection, organization_id: UUID, of: Collection[tuple[date, UUID]]
) -> Sequence[Any]:
    """Usage that rows of these months and users hold and no report shows: they are unlicensed.

    Columns: month, user_id, ui_usage_count, sdk_usage_count.
    """
    if not of:
        return ()
    found = await tx.execute(
        _SELECT_HIDDEN_USAGE,
        {"organization_id": organization_id, **_USERS_IN_MONTHS.bind_rows(of)},
    )
    return found.all()


_USERS_IN_MONTHS = Columns(month="date", user_id="uuid")
_SELECT_HIDDEN_USAGE = text(f"""
    SELECT shown.month, shown.user_id, shown.ui_usage_count, shown.sdk_usage_count
    FROM {_USERS_IN_MONTHS.as_rows("asked")}
    JOIN user_month AS shown
      ON shown.organization_id = :organization_id
     AND shown.month = asked.month AND shown.user_id = asked.user_id
    WHERE NOT shown.licensed
""")


async def select_rows(
    tx: AsyncConnection, organization_id: UUID, table: MonthTable, month: date
) -> Sequence[Any]:
    """All rows of a month, with the name of the workspace that each belongs to, if any."""
    return (
        await tx.execute(
            _SELECT_ROWS[table.table], {"organization_id": organization_id, "month": month}
        )
    ).all()


def _select_rows(table: MonthTable) -> Any:
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


_SELECT_ROWS = {table.table: _select_rows(table) for table in MONTH_TABLES}


async def delete_rows(tx: AsyncConnection, organization_id: UUID, month: date) -> None:
    """Remove a month's rows, for them to be written again."""
    for table in MONTH_TABLES:
        await tx.execute(
            text(f"""
                DELETE FROM {table.table}
                WHERE organization_id = :organization_id AND month = :month
            """),
            {"organization_id": organization_id, "month": month},
        )


class MonthTotals(NamedTuple):
    """What the rows of a month add up to."""

    workspaces: int = 0
    projects: int = 0
    members: int = 0
    licensed_users: int = 0
    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    ui_usage: int = 0
    sdk_usage: int = 0


async def select_totals(tx: AsyncConnection, organization_id: UUID) -> dict[date, MonthTotals]:
    """The totals of each month that has rows."""
    found = await tx.execute(_SELECT_TOTALS, {"organization_id": organization_id})
    return {row.month: MonthTotals(*map(int, row[1:])) for row in found}


def _total(table: str, columns: Mapping[str, str]) -> str:
    """A part of the union: the columns that a table has, and 0 for the others."""
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
            _total(
                "workspace_month",
                {
                    "workspaces": _PRESENT,
                    "experiments": "sum(experiments)",
                    "experiments_created": "sum(experiments_created)",
                    "size_bytes": "sum(size_bytes)",
                },
            ),
            _total("project_month", {"projects": _PRESENT}),
            _total("member_month", {"members": _PRESENT}),
            _total(
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
