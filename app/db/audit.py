"""Statements of the audit log, which is append-only."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import AuditLog
from app.db.unnest import OWNER, Columns
from app.domain.audit import AuditEntry


async def insert_entries(
    tx: AsyncConnection, organization_id: UUID, entries: Sequence[AuditEntry]
) -> None:
    """Append entries to an organization's log; skip those that are already stored."""
    await tx.execute(
        _INSERT_ENTRIES,
        {"organization_id": organization_id, **_ENTRIES.bind_rows(entries)},
    )


_ENTRIES = Columns(
    AuditEntry,
    entry_id="uuid",
    happened_at="timestamptz",
    **dict.fromkeys(AuditEntry._fields[2:], "text"),
)
_INSERT_ENTRIES = text(f"""
    INSERT INTO audit_log (organization_id, entry_id, happened_at, action, target, outcome,
                           username, key_id, address, interface, detail)
    SELECT organization_id, entry_id, happened_at, action, target, outcome,
           username, key_id, address, interface, CAST(detail AS jsonb)
    FROM {OWNER} CROSS JOIN {_ENTRIES.as_rows("new_entry")}
    ON CONFLICT (organization_id, entry_id) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Criteria for entries of the audit log; None matches every entry.

    Attributes:
        actions: One of these actions.
        username: Actions of this user.
        since: The earliest time, included.
        until: The latest time, excluded.
    """

    actions: Sequence[str] | None = None
    username: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """The conditions for WHERE."""
        return [
            *([AuditLog.action.in_(self.actions)] if self.actions is not None else ()),
            *([AuditLog.username == self.username] if self.username is not None else ()),
            *([AuditLog.happened_at >= self.since] if self.since is not None else ()),
            *([AuditLog.happened_at < self.until] if self.until is not None else ()),
        ]


def _compose_select(organization_id: UUID, matching: AuditFilter) -> Select[Any]:
    return select(*(getattr(AuditLog, name) for name in AuditEntry._fields)).where(
        AuditLog.organization_id == organization_id, *matching.conditions
    )


async def select_entries(
    tx: AsyncConnection,
    organization_id: UUID,
    matching: AuditFilter,
    first: int | None,
    after: UUID | None,
) -> Sequence[Any]:
    """Select a page of the log, latest first, or all of it without `first`.

    Rows have the columns of `AuditEntry`.
    """
    statement = _compose_select(organization_id, matching)
    if after is not None:
        statement = statement.where(AuditLog.entry_id < after)
    latest_first = statement.order_by(AuditLog.entry_id.desc())
    rows: Sequence[Any] = (await tx.execute(latest_first.limit(first))).all()
    return rows


async def stream_entries(
    tx: AsyncConnection, organization_id: UUID, matching: AuditFilter
) -> AsyncIterator[Any]:
    """Stream the log, earliest first; rows have the columns of `AuditEntry`."""
    rows = await tx.stream(_compose_select(organization_id, matching).order_by(AuditLog.entry_id))
    async for row in rows:
        yield row
