"""Statements of the organization table."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import Organization
from app.timeouts import BATCH_STATEMENT_SECONDS, LOCK_SECONDS

COLUMNS = (
    Organization.organization_id,
    Organization.name,
    Organization.created_at,
    Organization.first_month,
    Organization.last_month,
    Organization.first_event_at,
    Organization.latest_event_at,
    Organization.closed_through,
    Organization.hand_over,
    Organization.changed_at,
    Organization.revision,
    Organization.ui_measured_from,
    Organization.sdk_measured_from,
)


async def select_organization(tx: AsyncConnection, name: str) -> Any:
    """The organization of that name: all columns, or None."""
    return (await tx.execute(select(*COLUMNS).where(Organization.name == name))).first()


async def select_organization_by_id(tx: AsyncConnection, organization_id: UUID) -> Any:
    """The organization with that id: all columns."""
    found = await tx.execute(
        select(*COLUMNS).where(Organization.organization_id == organization_id)
    )
    return found.one()


async def select_organizations(tx: AsyncConnection) -> Sequence[Any]:
    """All organizations by name."""
    return (await tx.execute(select(*COLUMNS).order_by(Organization.name))).all()


async def insert_organization(
    tx: AsyncConnection, organization_id: UUID, name: str, now: datetime
) -> bool:
    """Create an organization; False when the name is taken."""
    created = await tx.execute(
        insert_or_ignore(Organization)
        .values(organization_id=organization_id, name=name, created_at=now, changed_at=now)
        .on_conflict_do_nothing()
        .returning(Organization.organization_id)
    )
    return created.first() is not None


async def lock_organization(tx: AsyncConnection, organization_id: UUID) -> Any:
    """The organization, which nobody else changes until this transaction ends.

    Batches of one organization are stored one after the other, so that each sees all facts before
    it; readers are not held up, nor are other organizations. Nor is what only refers to it, which
    shares its key: the audit log, keys, the runs of sources.
    """
    locked = await tx.execute(
        select(*COLUMNS)
        .where(Organization.organization_id == organization_id)
        .with_for_update(key_share=True)
    )
    return locked.one()


async def set_lock_timeout(tx: AsyncConnection) -> None:
    """Let this transaction's statements give up rather than wait for long.

    Another batch, such as an import of years, may hold the organization; a disk may be slow.
    """
    await tx.execute(
        text(f"""
            SELECT set_config('lock_timeout', '{LOCK_SECONDS}s', true),
                   set_config('statement_timeout', '{BATCH_STATEMENT_SECONDS}s', true)
        """)
    )


async def update_span(
    tx: AsyncConnection,
    organization_id: UUID,
    *,
    first_month: date,
    last_month: date,
    first_event_at: datetime,
    latest_event_at: datetime,
    ui_measured_from: datetime | None,
    sdk_measured_from: datetime | None,
    changed_at: datetime,
) -> None:
    """Widen what the organization's facts cover; nothing of it ever shrinks."""
    await tx.execute(
        text("""
            UPDATE organization SET
                first_month = least(first_month, CAST(:first_month AS date)),
                last_month = greatest(last_month, CAST(:last_month AS date)),
                first_event_at = least(first_event_at, CAST(:first_event_at AS timestamptz)),
                latest_event_at =
                    greatest(latest_event_at, CAST(:latest_event_at AS timestamptz)),
                ui_measured_from =
                    least(ui_measured_from, CAST(:ui_measured_from AS timestamptz)),
                sdk_measured_from =
                    least(sdk_measured_from, CAST(:sdk_measured_from AS timestamptz)),
                revision = revision + 1,
                changed_at = CAST(:changed_at AS timestamptz)
            WHERE organization_id = :organization_id
        """),
        {
            "organization_id": organization_id,
            "first_month": first_month,
            "last_month": last_month,
            "first_event_at": first_event_at,
            "latest_event_at": latest_event_at,
            "ui_measured_from": ui_measured_from,
            "sdk_measured_from": sdk_measured_from,
            "changed_at": changed_at,
        },
    )


async def lower_first_month(tx: AsyncConnection, organization_id: UUID, first_month: date) -> None:
    """Say that there are month rows from an earlier month on."""
    await tx.execute(
        text("""
            UPDATE organization SET first_month = least(first_month, CAST(:first_month AS date))
            WHERE organization_id = :organization_id
        """),
        {"organization_id": organization_id, "first_month": first_month},
    )
