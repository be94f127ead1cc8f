"""The rows of one month: read them, replay them from events, compare the two, replace them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.db.corrections import NOWHERE, select_corrections_of_month
from app.db.engine import Transaction
from app.db.events import select_archived_usage, stream_events
from app.db.months import (
    MEMBER_MONTH,
    MONTH_TABLES,
    PROJECT_MONTH,
    USER_MONTH,
    WORKSPACE_MONTH,
    FiguresRow,
    MonthTable,
    PresenceRow,
    UsageRow,
    UserMonthState,
    add_figures,
    add_to_users,
    delete_rows,
    select_rows,
    set_presence,
    set_user_states,
)
from app.domain.events import (
    AnyEvent,
    UsageRecorded,
    UsageRecordedEvent,
    restore_event,
)
from app.domain.experiments import ExperimentFigures
from app.domain.figures import Figure
from app.domain.ids import project_id, user_id, workspace_id
from app.domain.months import Month
from app.ingest.replay import LEVELS, FigureTotals, MonthRows, Name, UserRow, replay

_TABLES = dict(
    zip(LEVELS, (WORKSPACE_MONTH, PROJECT_MONTH, MEMBER_MONTH, USER_MONTH), strict=True)
)
assert set(_TABLES.values()) == set(MONTH_TABLES)  # noqa: S101  no table is forgotten


async def replayed_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return the rows that a month should have, from its events and archived usage totals."""
    events = [
        _archived(row) for row in await select_archived_usage(tx, organization_id, month.plus(1))
    ]
    events += [
        restore_event(row.type, row.occurred_at, row.source, row.id, row.data)
        async for row in stream_events(tx, organization_id, month.end)
    ]
    return replay(events, month)


def _archived(row: Any) -> AnyEvent:
    """Return a month's archived usage of a channel as one event at the time of the last use."""
    return UsageRecordedEvent(
        specversion="1.0",
        id="",
        source="",
        time=row.used_at,
        data=UsageRecorded(row.username, row.channel, row.use_count),
    )


async def stored_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return the rows that a month has."""
    rows = MonthRows.empty()
    for level, table in _TABLES.items():
        for row in await select_rows(tx, organization_id, table, month):
            name = _name(table, row)
            sums = FigureTotals(
                row.experiments,
                row.experiments_created,
                row.size_bytes,
                int(row.byte_microseconds),
                row.unmeasured,
            )
            if any(sums):
                rows.figures[level][name] = sums
            if table is USER_MONTH:
                rows.users[name] = UserRow(*(getattr(row, field) for field in UserRow._fields))
            elif row.present:
                rows.present[level].add(name)
    return rows


def _name(table: MonthTable, row: Any) -> Name:
    own = getattr(row, table.name)
    return (own,) if table in {WORKSPACE_MONTH, USER_MONTH} else (row.workspace, own)


def differences(expected: MonthRows, found: MonthRows, *, figures_only: bool) -> Iterator[str]:
    """Yield one sentence per difference between two versions of a month.

    With `figures_only`, properties of users such as their emails are not compared.
    """
    for level in LEVELS[:3]:
        for name in sorted(expected.present[level] ^ found.present[level]):
            said = "is missing" if name in expected.present[level] else "should not exist"
            yield f"{level[:-1]} {_written(name)} {said}"
    for level in LEVELS:
        yield from _different(
            level,
            expected.figures[level],
            found.figures[level],
            FigureTotals(),
            FigureTotals._fields,
        )
    fields = _USER_FIGURES if figures_only else UserRow._fields
    yield from _different("users", expected.users, found.users, UserRow(), fields)


_USER_FIGURES = ("licensed", "ui_usage_count", "sdk_usage_count")


def _different(
    level: str,
    expected: dict[Name, Any],
    found: dict[Name, Any],
    nothing: Any,
    fields: tuple[str, ...],
) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        wanted, there = expected.get(name, nothing), found.get(name, nothing)
        for field in fields:
            if getattr(wanted, field) != getattr(there, field):
                yield (
                    f"{level[:-1]} {_written(name)}: {field} is {getattr(there, field)}, "
                    f"and should be {getattr(wanted, field)}"
                )


def _written(name: Name) -> str:
    return " / ".join(map(repr, name))


async def corrected_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return a closed month's rows with its corrections applied."""
    rows = await stored_rows(tx, organization_id, month)
    corrections = await select_corrections_of_month(tx, organization_id, month)
    for late in corrections:
        if late.figure == Figure.LICENSED_USERS and late.amount > 0:
            _forget_hidden_usage(rows, (late.username or "",))
    for late in corrections:
        _correct(rows, late)
    return rows


def _forget_hidden_usage(rows: MonthRows, name: Name) -> None:
    """Reset the usage of a user licensed by a correction: corrections contain all of it."""
    if name in rows.users:
        rows.users[name] = rows.users[name]._replace(ui_usage_count=0, sdk_usage_count=0)


def _correct(rows: MonthRows, late: Any) -> None:
    amount = int(late.amount)
    if late.figure in SUMMED_AS:
        for level, name in _corrected(late).items():
            _add(rows.figures[level], name, FigureTotals(**{SUMMED_AS[late.figure]: amount}))
    elif late.figure in PRESENT_AS:
        level = PRESENT_AS[late.figure]
        parts = (late.workspace, late.project, late.username)
        name = tuple(part for part in parts if part is not None)
        (rows.present[level].add if amount > 0 else rows.present[level].discard)(name)
    else:
        field = USED_AS[late.figure]
        user = rows.users.get((late.username,), UserRow())
        value = getattr(user, field) + amount
        rows.users[late.username,] = user._replace(**{field: type(getattr(user, field))(value)})


def _corrected(late: Any) -> dict[str, Name]:
    """Return the rows that a correction changes: an experiment's on all levels, or one level's."""
    names = {
        "workspaces": (late.workspace,),
        "projects": (late.workspace, late.project),
        "members": (late.workspace, late.username),
        "users": (late.username,),
    }
    ids = tuple(part for part in (late.workspace, late.project, late.username) if part is not None)
    if len(ids) == len(_EVERYWHERE):
        return names
    return {level: name for level, name in names.items() if name == ids}


_EVERYWHERE = ("workspace", "project", "username")


def _add(figures: dict[Name, FigureTotals], name: Name, sums: FigureTotals) -> None:
    figures[name] = figures.get(name, FigureTotals()) + sums
    if not any(figures[name]):
        del figures[name]


SUMMED_AS = {
    Figure.EXPERIMENTS: "experiments",
    Figure.UNMEASURED_EXPERIMENTS: "unmeasured",
    Figure.EXPERIMENTS_CREATED: "experiments_created",
    Figure.SIZE_BYTES: "size_bytes",
    Figure.BYTE_MICROSECONDS: "byte_microseconds",
}
PRESENT_AS = {
    Figure.WORKSPACES: "workspaces",
    Figure.PROJECTS: "projects",
    Figure.MEMBERS: "members",
}
USED_AS = {
    Figure.LICENSED_USERS: "licensed",
    Figure.UI_USAGE: "ui_usage_count",
    Figure.SDK_USAGE: "sdk_usage_count",
}


async def replace_rows(
    tx: Transaction, organization_id: UUID, month: Month, rows: MonthRows
) -> None:
    """Replace all rows of a month."""
    await delete_rows(tx, organization_id, month)
    for level, table in _TABLES.items():
        present = [
            PresenceRow(month, _keys(level, name), present=True)
            for name in rows.present.get(level, ())
        ]
        if present:
            await set_presence(tx, organization_id, table, present)
        if table is not USER_MONTH:
            figures = _figures_of(rows, level, month)
            await add_figures(tx, organization_id, table, figures, [month])
    if rows.users:
        accounts = [_account_row(month, name, user) for name, user in rows.users.items()]
        await set_user_states(tx, organization_id, accounts)
    usage = [row for name, user in rows.users.items() for row in _usage_rows(month, name, user)]
    owned = _figures_of(rows, "users", month)
    await add_to_users(tx, organization_id, owned, usage, [month])


def _figures_of(rows: MonthRows, level: str, month: Month) -> list[FiguresRow]:
    return [
        FiguresRow(month, _keys(level, name), ExperimentFigures(*sums))
        for name, sums in rows.figures[level].items()
    ]


def _keys(level: str, name: Name) -> tuple[UUID, ...]:
    if level == "users":
        return (user_id(*name),)
    own = {"projects": lambda: project_id(*name), "members": lambda: user_id(name[1])}
    return (workspace_id(name[0]), *([own[level]()] if level in own else ()))


def correction_ids(level: str, name: Name) -> tuple[UUID, UUID, UUID]:
    """Return the workspace, project and user of a level's figure; `NOWHERE` if not applicable."""
    workspace, project, user = NOWHERE, NOWHERE, NOWHERE
    if level == "users":
        return workspace, project, user_id(*name)
    workspace, *own = _keys(level, name)
    if level == "projects":
        (project,) = own
    elif level == "members":
        (user,) = own
    return workspace, project, user


def _account_row(month: Month, name: Name, user: UserRow) -> UserMonthState:
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
