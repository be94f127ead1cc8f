"""Statements for month closes: freeze a month, open it again, and keep the history of both."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import MonthClose, MonthCloseHistory
from app.domain.months import Month


async def insert_closes(
    tx: AsyncConnection,
    organization_id: UUID,
    months: Sequence[Month],
    *,
    username: str,
    now: datetime,
) -> None:
    """Close months: hash their rows, and record what their reports need beside these rows."""
    closing = {
        "organization_id": organization_id,
        "months": [month.first_day for month in months],
    }
    await tx.execute(_INSERT_CLOSES, {**closing, "username": username, "now": now})
    await tx.execute(_RECORD_CLOSES, closing)


_ROWS_OF_TABLE = """
    SELECT string_agg(CAST(shown AS text), E'\\n' ORDER BY CAST(shown AS text))
    FROM {table} AS shown
    WHERE shown.organization_id = :organization_id AND shown.month = closing.month
"""
_ROWS_HASH = "encode(sha256(convert_to(concat_ws(E'\\n\\n', {rows}), 'UTF8')), 'hex')".format(
    rows=", ".join(
        f"({_ROWS_OF_TABLE.format(table=table)})"
        for table in ("workspace_month", "project_month", "member_month", "user_month")
    )
)
# The caller holds the organization's lock, so no number is taken twice.
_LAST_NUMBER = """(
    SELECT coalesce(max(number), 0) FROM month_close_history
    WHERE organization_id = :organization_id
)"""
_INSERT_CLOSES = text(f"""
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
""")
_RECORD_CLOSES = text(f"""
    INSERT INTO month_close_history
           (organization_id, number, month, happened_at, action, username, reason, rows_hash)
    SELECT organization_id, {_LAST_NUMBER} + row_number() OVER (ORDER BY month),
           month, closed_at, 'CLOSED', closed_by, '', rows_hash
    FROM month_close
    WHERE organization_id = :organization_id AND month = ANY(CAST(:months AS date[]))
""")


async def select_rows_hash(tx: AsyncConnection, organization_id: UUID, month: Month) -> str:
    """Return the hash of a month's rows as they are now."""
    rows_hash = await tx.execute(
        text(f"SELECT {_ROWS_HASH} FROM (SELECT CAST(:month AS date) AS month) AS closing"),
        {"organization_id": organization_id, "month": month.first_day},
    )
    return str(rows_hash.scalar_one())


async def delete_close(
    tx: AsyncConnection,
    organization_id: UUID,
    month: Month,
    *,
    username: str,
    reason: str,
    now: datetime,
) -> None:
    """Reopen a closed month, and record the reason in the history.

    The history comes first: a trigger rejects a deletion that it does not record.
    """
    await tx.execute(
        _RECORD_REOPENING,
        {
            "organization_id": organization_id,
            "month": month.first_day,
            "username": username,
            "reason": reason,
            "now": now,
        },
    )
    await tx.execute(
        delete(MonthClose).where(
            MonthClose.organization_id == organization_id, MonthClose.month == month.first_day
        )
    )


_RECORD_REOPENING = text(f"""
    INSERT INTO month_close_history
           (organization_id, number, month, happened_at, action, username, reason, rows_hash)
    SELECT organization_id, {_LAST_NUMBER} + 1, month, CAST(:now AS timestamptz), 'REOPENED',
           CAST(:username AS text), CAST(:reason AS text), rows_hash
    FROM month_close WHERE organization_id = :organization_id AND month = :month
""")


async def mark_imported(
    tx: AsyncConnection,
    organization_id: UUID,
    month: Month,
    *,
    imported_from: str,
    sha256: str,
    changed_at: datetime | None,
    is_ui_measured: bool,
    is_sdk_measured: bool,
) -> None:
    """Record which imported report a closed month's rows come from.

    A channel is also measured if it was in an earlier imported report. `changed_at` is when the
    report was made; None keeps the month's own time.
    """
    await tx.execute(
        _MARK_IMPORTED,
        {
            "organization_id": organization_id,
            "month": month.first_day,
            "imported_from": imported_from,
            "sha256": sha256,
            "changed_at": changed_at,
            "is_ui_measured": is_ui_measured,
            "is_sdk_measured": is_sdk_measured,
        },
    )


_MEASURED_EARLIER = """EXISTS (
    SELECT FROM month_close AS earlier
    WHERE earlier.organization_id = :organization_id AND earlier.month < :month
      AND earlier.imported_sha256 IS NOT NULL AND earlier.{0}
)"""
_MARK_IMPORTED = text(f"""
    UPDATE month_close SET
        imported_from = :imported_from,
        imported_sha256 = :sha256,
        changed_at = coalesce(CAST(:changed_at AS timestamptz), changed_at),
        ui_measured = :is_ui_measured OR {_MEASURED_EARLIER.format("ui_measured")},
        sdk_measured = :is_sdk_measured OR {_MEASURED_EARLIER.format("sdk_measured")}
    WHERE organization_id = :organization_id AND month = :month
""")


class MonthCloseRow(NamedTuple):
    """A closed month; the last two are None unless an imported report states it."""

    month: Month
    closed_at: datetime
    closed_by: str
    rows_hash: str
    imported_from: str | None
    imported_sha256: str | None


async def select_closes(tx: AsyncConnection, organization_id: UUID) -> Sequence[MonthCloseRow]:
    """Return the closed months of an organization, in order."""
    rows = await tx.execute(
        select(*(getattr(MonthClose, name) for name in MonthCloseRow._fields))
        .where(MonthClose.organization_id == organization_id)
        .order_by(MonthClose.month)
    )
    return [MonthCloseRow(Month.containing(row.month), *row[1:]) for row in rows]


class MonthCloseHistoryRow(NamedTuple):
    """One close or reopening of a month; `action` is `CLOSED` or `REOPENED`."""

    month: Month
    happened_at: datetime
    action: str
    username: str
    reason: str
    rows_hash: str


async def select_close_history(
    tx: AsyncConnection, organization_id: UUID
) -> Sequence[MonthCloseHistoryRow]:
    """Return every close and reopening, the latest first."""
    rows = await tx.execute(
        select(*(getattr(MonthCloseHistory, name) for name in MonthCloseHistoryRow._fields))
        .where(MonthCloseHistory.organization_id == organization_id)
        .order_by(MonthCloseHistory.number.desc())
    )
    return [MonthCloseHistoryRow(Month.containing(row.month), *row[1:]) for row in rows]
