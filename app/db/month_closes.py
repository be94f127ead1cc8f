"""Statements of closed months: what is frozen, what came late, and the trace of both acts."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Select, and_, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.levels import ORGANIZATION, parents, selected
from app.db.statements import compiled_once
from app.db.tables import (
    Account,
    Correction,
    MonthAct,
    MonthClose,
    Organization,
    Project,
    Workspace,
)
from app.db.unnest import Columns

NOWHERE = UUID(int=0)
"""The id of what does not matter for a figure."""


class CorrectionRow(NamedTuple):
    """An amount that a closed month's figure lacks."""

    origin_month: date
    figure: str
    workspace_id: UUID
    project_id: UUID
    user_id: UUID
    amount: int


async def add_corrections(
    tx: AsyncConnection,
    organization_id: UUID,
    booked_month: date,
    rows: Sequence[CorrectionRow],
) -> None:
    """Book what came late in the first open month."""
    await tx.execute(
        _ADD_CORRECTIONS,
        {
            "organization_id": organization_id,
            "booked_month": booked_month,
            **_CORRECTIONS.bind_rows(rows),
        },
    )


_CORRECTIONS = Columns(
    CorrectionRow,
    origin_month="date",
    figure="text",
    workspace_id="uuid",
    project_id="uuid",
    user_id="uuid",
    amount="numeric",
)
_ADD_CORRECTIONS = text(f"""
    INSERT INTO correction AS kept (organization_id, booked_month, origin_month, figure,
                                    workspace_id, project_id, user_id, amount)
    SELECT CAST(:organization_id AS uuid), CAST(:booked_month AS date), origin_month, figure,
           workspace_id, project_id, user_id, sum(amount)
    FROM {_CORRECTIONS.as_rows("late")}
    GROUP BY origin_month, figure, workspace_id, project_id, user_id
    ON CONFLICT (organization_id, booked_month, origin_month, figure,
                 workspace_id, project_id, user_id)
    DO UPDATE SET amount = kept.amount + excluded.amount
""")


@compiled_once
def select_corrections_of_reports(selection: frozenset[str]) -> Select[Any]:
    """What each of the reports that `parent_month` is bound to corrects of earlier months.

    Columns: origin_month, figure, workspace, project, username, amount; by origin, figure and
    names.
    """
    parent = parents({"month": Date})
    names = (Workspace.name, Project.name, Account.username)
    available = {
        "origin_month": Correction.origin_month,
        "figure": Correction.figure,
        "workspace": Workspace.name,
        "project": Project.name,
        "username": Account.username,
        "amount": Correction.amount,
    }
    booked = and_(
        Correction.organization_id == ORGANIZATION, Correction.booked_month == parent.c.month
    )
    return (
        select(parent.c.ordinal, *selected(available, selection))
        .select_from(parent.join(Correction, booked))
        .outerjoin(Workspace, _same(Workspace, "workspace_id"))
        .outerjoin(Project, _same(Project, "project_id"))
        .outerjoin(Account, _same(Account, "user_id"))
        .where(Correction.amount != 0)
        .order_by(
            parent.c.ordinal,
            Correction.origin_month,
            Correction.figure,
            *(name.asc().nulls_first() for name in names),
        )
    )


def _same(table: Any, key: str) -> ColumnElement[bool]:
    return and_(
        table.organization_id == ORGANIZATION, getattr(table, key) == getattr(Correction, key)
    )


async def insert_closes(
    tx: AsyncConnection,
    organization_id: UUID,
    months: Sequence[date],
    *,
    username: str,
    now: datetime,
) -> None:
    """Freeze months: what a batch may change of them from now on is nothing."""
    await tx.execute(
        _INSERT_CLOSES,
        {
            "organization_id": organization_id,
            "months": list(months),
            "username": username,
            "now": now,
        },
    )


_ROWS_OF = """
    SELECT string_agg(CAST(shown AS text), E'\\n' ORDER BY CAST(shown AS text))
    FROM {table} AS shown
    WHERE shown.organization_id = :organization_id AND shown.month = closing.month
"""
_ROWS_HASH = "encode(sha256(convert_to(concat_ws(E'\\n\\n', {rows}), 'UTF8')), 'hex')".format(
    rows=", ".join(
        f"({_ROWS_OF.format(table=table)})"
        for table in ("workspace_month", "project_month", "member_month", "user_month")
    )
)
_INSERT_CLOSES = text(f"""
    WITH closed AS (
        INSERT INTO month_close (organization_id, month, closed_at, closed_by, changed_at,
                                 ui_measured, sdk_measured, rows_hash)
        SELECT organization_id, closing.month, CAST(:now AS timestamptz),
               CAST(:username AS text),
               greatest(changed_at, closing.month::timestamp AT TIME ZONE 'UTC'),
               coalesce(ui_measured_from < closing.month + interval '1 month', false),
               coalesce(sdk_measured_from < closing.month + interval '1 month', false),
               {_ROWS_HASH}
        FROM organization CROSS JOIN unnest(CAST(:months AS date[])) AS closing (month)
        WHERE organization_id = :organization_id
        RETURNING organization_id, month, closed_at, closed_by, rows_hash
    )
    INSERT INTO month_act (organization_id, month, happened_at, act, username, reason, rows_hash)
    SELECT organization_id, month, closed_at, 'CLOSED', closed_by, '', rows_hash FROM closed
""")


async def select_rows_hash(tx: AsyncConnection, organization_id: UUID, month: date) -> str:
    """The hash of a month's rows as they are now."""
    found = await tx.execute(
        text(f"SELECT {_ROWS_HASH} FROM (SELECT CAST(:month AS date) AS month) AS closing"),
        {"organization_id": organization_id, "month": month},
    )
    return str(found.scalar_one())


async def delete_close(
    tx: AsyncConnection,
    organization_id: UUID,
    month: date,
    *,
    username: str,
    reason: str,
    now: datetime,
) -> None:
    """Open a closed month again, and keep the trace of it."""
    await tx.execute(
        text("""
            WITH opened AS (
                DELETE FROM month_close
                WHERE organization_id = :organization_id AND month = :month
                RETURNING organization_id, month, rows_hash
            )
            INSERT INTO month_act (organization_id, month, happened_at, act, username, reason,
                                   rows_hash)
            SELECT organization_id, month, CAST(:now AS timestamptz), 'REOPENED',
                   CAST(:username AS text), CAST(:reason AS text), rows_hash
            FROM opened
        """),
        {
            "organization_id": organization_id,
            "month": month,
            "username": username,
            "reason": reason,
            "now": now,
        },
    )


async def delete_corrections(
    tx: AsyncConnection, organization_id: UUID, first: date, last: date
) -> None:
    """Forget what came late for these months: they are open, and their rows say it."""
    await tx.execute(
        delete(Correction).where(
            Correction.organization_id == organization_id,
            Correction.origin_month.between(first, last),
        )
    )


async def delete_corrections_from_later(
    tx: AsyncConnection, organization_id: UUID, before: date
) -> None:
    """Forget what came late, from that day's month on, for the months before it."""
    await tx.execute(
        delete(Correction).where(
            Correction.organization_id == organization_id,
            Correction.origin_month < before,
            Correction.booked_month >= before,
        )
    )


async def update_hand_over(
    tx: AsyncConnection, organization_id: UUID, hand_over: date | None
) -> None:
    """Say which month is the first that live sources tell; None when reports may go on."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(hand_over=hand_over, revision=Organization.revision + 1)
    )


async def update_closed_through(
    tx: AsyncConnection,
    organization_id: UUID,
    closed_through: date | None,
    last_month: date | None,
) -> None:
    """Say through which month all are closed, and which month has the latest rows."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(
            closed_through=closed_through,
            last_month=last_month,
            revision=Organization.revision + 1,
        )
    )


async def mark_imported(
    tx: AsyncConnection,
    organization_id: UUID,
    month: date,
    *,
    imported_from: str,
    digest: str,
    changed_at: datetime | None,
) -> None:
    """Say which report states a closed month's rows, and when it was made if it says so."""
    values: dict[str, Any] = {"imported_from": imported_from, "imported_digest": digest}
    if changed_at is not None:
        values["changed_at"] = changed_at
    await tx.execute(
        update(MonthClose)
        .where(MonthClose.organization_id == organization_id, MonthClose.month == month)
        .values(**values)
    )


async def select_closes(tx: AsyncConnection, organization_id: UUID) -> Sequence[Any]:
    """The closed months of an organization, in order.

    Columns: month, closed_at, closed_by, rows_hash, imported_from, imported_digest.
    """
    found = await tx.execute(
        select(
            MonthClose.month,
            MonthClose.closed_at,
            MonthClose.closed_by,
            MonthClose.rows_hash,
            MonthClose.imported_from,
            MonthClose.imported_digest,
        )
        .where(MonthClose.organization_id == organization_id)
        .order_by(MonthClose.month)
    )
    return found.all()


async def select_acts(tx: AsyncConnection, organization_id: UUID) -> Sequence[Any]:
    """Every closing and reopening, the latest first: month, happened_at, act, username, reason."""
    found = await tx.execute(
        select(
            MonthAct.month,
            MonthAct.happened_at,
            MonthAct.act,
            MonthAct.username,
            MonthAct.reason,
            MonthAct.rows_hash,
        )
        .where(MonthAct.organization_id == organization_id)
        .order_by(MonthAct.happened_at.desc(), MonthAct.month.desc())
    )
    return found.all()


async def select_corrections_of_month(
    tx: AsyncConnection, organization_id: UUID, origin_month: date
) -> Sequence[Any]:
    """What came late for one closed month, whenever it was booked, and is not nothing by now.

    Columns: figure, workspace, project, username, amount; each place of a figure once.
    """
    place = (
        Correction.figure,
        Workspace.name.label("workspace"),
        Project.name.label("project"),
        Account.username.label("username"),
    )
    amount = func.sum(Correction.amount)
    statement = (
        select(*place, amount.label("amount"))
        .select_from(Correction)
        .outerjoin(Workspace, _same(Workspace, "workspace_id"))
        .outerjoin(Project, _same(Project, "project_id"))
        .outerjoin(Account, _same(Account, "user_id"))
        .where(Correction.organization_id == ORGANIZATION, Correction.origin_month == origin_month)
        .group_by(*place)
        .having(amount != 0)
    )
    return (await tx.execute(statement, {"organization_id": organization_id})).all()
