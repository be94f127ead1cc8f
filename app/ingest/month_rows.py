"""The rows of one month: load them, replay them from events, and replace them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.db.engine import Transaction
from app.db.events import select_archived_usage, stream_events
from app.db.month_states import PresenceRow, UserMonthState, set_presence, set_user_states
from app.db.months import (
    MEMBER_MONTH,
    MONTH_TABLES,
    PROJECT_MONTH,
    USER_MONTH,
    WORKSPACE_MONTH,
    FiguresRow,
    MonthTable,
    UsageRow,
    add_figures,
    add_to_users,
    delete_rows,
    select_rows,
)
from app.domain.events import (
    AnyEvent,
    UsageRecorded,
    UsageRecordedEvent,
    restore_event,
)
from app.domain.experiments import ExperimentFigures
from app.domain.ids import project_id, user_id, workspace_id
from app.domain.months import Month
from app.ingest.replay import LEVELS, FigureTotals, MonthRows, Name, UserRow, replay

_TABLES = dict(
    zip(LEVELS, (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH, USER_MONTH), strict=True)
)
assert set(_TABLES.values()) == set(MONTH_TABLES)  # noqa: S101  no table is forgotten


async def replay_month_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return the rows that a month should have, from its events and archived usage totals."""
    events = [
        _to_usage_event(row)
        for row in await select_archived_usage(tx, organization_id, month.plus(1))
    ]
    events += [
        restore_event(row.type, row.occurred_at, row.source, row.id, row.data)
        async for row in stream_events(tx, organization_id, month.end)
    ]
    return replay(events, month)


def _to_usage_event(row: Any) -> AnyEvent:
    """Return a month's archived usage of a channel as one event at the time of the last use."""
    return UsageRecordedEvent(
        specversion="1.0",
        id="",
        source="",
        time=row.used_at,
        data=UsageRecorded(row.username, row.channel, row.use_count),
    )


async def load_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return the rows that a month has."""
    rows = MonthRows.empty()
    for level, table in _TABLES.items():
        for row in await select_rows(tx, organization_id, table, month):
            name = _row_name(table, row)
            sums = FigureTotals(
                row.experiments,
                row.experiments_created,
                int(row.size_bytes),
                int(row.byte_microseconds),
                row.unmeasured,
            )
            if any(sums):
                rows.figures[level][name] = sums
            if row.last_experiment_at is not None:
                rows.last_experiments[level][name] = row.last_experiment_at
            if table is USER_MONTH:
                rows.users[name] = UserRow(*(getattr(row, field) for field in UserRow._fields))
            elif row.present:
                rows.present[level].add(name)
    return rows


def _row_name(table: MonthTable, row: Any) -> Name:
    own_name = getattr(row, table.name)
    has_workspace = table in {PROJECT_MONTH, MEMBER_MONTH}
    return (row.workspace, own_name) if has_workspace else (own_name,)


async def replace_rows(
    tx: Transaction, organization_id: UUID, month: Month, rows: MonthRows
) -> None:
    """Replace all rows of a month."""
    await delete_rows(tx, organization_id, month)
    for level, table in _TABLES.items():
        present = [
            PresenceRow(month, _row_key(level, name), present=True)
            for name in rows.present.get(level, ())
        ]
        if present:
            await set_presence(tx, organization_id, table, present)
        if table is not USER_MONTH:
            figures = _figure_rows(rows, level, month)
            await add_figures(tx, organization_id, table, figures, [month])
    if rows.users:
        states = [_user_state(month, name, user) for name, user in rows.users.items()]
        await set_user_states(tx, organization_id, states)
    usage = [row for name, user in rows.users.items() for row in _usage_rows(month, name, user)]
    owned = _figure_rows(rows, "users", month)
    await add_to_users(tx, organization_id, owned, usage, [month])


def _figure_rows(rows: MonthRows, level: str, month: Month) -> list[FiguresRow]:
    figures, last_experiments = rows.figures[level], rows.last_experiments[level]
    return [
        FiguresRow(
            month,
            _row_key(level, name),
            ExperimentFigures(*figures.get(name, FigureTotals()), last_experiments.get(name)),
        )
        for name in {**figures, **last_experiments}
    ]


def _row_key(level: str, name: Name) -> tuple[UUID, ...]:
    if level == "users":
        return (user_id(*name),)
    workspace = workspace_id(name[0])
    if level == "projects":
        return (workspace, project_id(*name))
    if level == "members":
        return (workspace, user_id(name[1]))
    return (workspace,)


def _user_state(month: Month, name: Name, user: UserRow) -> UserMonthState:
    return UserMonthState(
        month,
        user_id(*name),
        user.licensed,
        user.email,
        user.role,
        user.service_account,
        user.suspended,
        user.created_at,
        user.created_at_is_inferred,
        user.deleted_at,
    )


def _usage_rows(month: Month, name: Name, user: UserRow) -> Iterator[UsageRow]:
    """Yield the month's usage, and a row for the month before that only carries the last use."""
    key = user_id(*name)
    ui, sdk = (user.ui_usage_count, user.ui_used_at), (user.sdk_usage_count, user.sdk_used_at)
    yield UsageRow(month, key, *ui, *sdk)
    yield UsageRow(month.plus(-1), key, 0, user.last_used_at, 0, None)
