"""Statements for the organization table."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import Organization
from app.domain.ids import organization_id as derive_organization_id
from app.domain.months import Month
from app.timeouts import BATCH_STATEMENT_SECONDS


class OrganizationRow(NamedTuple):
    """An organization, and the months that its events cover; see `tables.Organization`."""

    organization_id: UUID
    name: str
    created_at: datetime
    first_event_at: datetime | None
    latest_event_at: datetime | None
    changed_at: datetime
    revision: int
    ui_measured_from: datetime | None
    sdk_measured_from: datetime | None
    first_month: Month | None
    last_month: Month | None
    closed_through: Month | None
    imported_through: Month | None


_COLUMNS = tuple(getattr(Organization, name) for name in OrganizationRow._fields)
_MONTHS_FROM = OrganizationRow._fields.index("first_month")


def _to_row(row: Row[Any]) -> OrganizationRow:
    return OrganizationRow(*row[:_MONTHS_FROM], *map(_to_month, row[_MONTHS_FROM:]))


def _to_month(day: date | None) -> Month | None:
    return None if day is None else Month.containing(day)


def _first_day(month: Month | None) -> date | None:
    return None if month is None else month.first_day


async def select_organization(tx: AsyncConnection, name: str) -> OrganizationRow | None:
    """Return the organization with that name, or None. Its id derives from the name."""
    found = await tx.execute(
        select(*_COLUMNS).where(
            Organization.organization_id == derive_organization_id(name),
            Organization.name == name,
        )
    )
    row = found.first()
    return None if row is None else _to_row(row)


async def select_organization_by_id(tx: AsyncConnection, organization_id: UUID) -> OrganizationRow:
    """Return the organization with that id."""
    found = await tx.execute(
        select(*_COLUMNS).where(Organization.organization_id == organization_id)
    )
    return _to_row(found.one())


async def select_organizations(tx: AsyncConnection) -> Sequence[OrganizationRow]:
    """Return all organizations, sorted by name."""
    return [*map(_to_row, await tx.execute(select(*_COLUMNS).order_by(Organization.name)))]


async def insert_organization(
    tx: AsyncConnection, organization_id: UUID, name: str, now: datetime
) -> bool:
    """Create an organization; return False when the name is taken."""
    created = await tx.execute(
        insert_or_ignore(Organization)
        .values(organization_id=organization_id, name=name, created_at=now, changed_at=now)
        .on_conflict_do_nothing()
        .returning(Organization.organization_id)
    )
    return created.first() is not None


async def lock_organization(tx: AsyncConnection, organization_id: UUID) -> OrganizationRow:
    """Lock an organization against other writers until this transaction ends, and return it.

    Batches of one organization are stored one after the other, so that each sees all earlier
    facts. Readers and other organizations do not wait. Rows that only refer to the organization
    share its key and do not wait either: audit events, API keys, source runs.
    """
    locked = await tx.execute(
        select(*_COLUMNS)
        .where(Organization.organization_id == organization_id)
        .with_for_update(key_share=True)
    )
    return _to_row(locked.one())


async def set_batch_timeouts(tx: AsyncConnection) -> None:
    """Let the statements that store a batch fail rather than take long: a disk may be slow."""
    await tx.execute(text(f"SET LOCAL statement_timeout = '{BATCH_STATEMENT_SECONDS}s'"))


async def extend_coverage(
    tx: AsyncConnection,
    organization_id: UUID,
    *,
    first_month: Month,
    last_month: Month,
    first_event_at: datetime | None,
    latest_event_at: datetime,
    ui_measured_from: datetime | None,
    sdk_measured_from: datetime | None,
    changed_at: datetime,
) -> None:
    """Extend what the organization's events cover; nothing of it ever shrinks."""
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
            "first_month": first_month.first_day,
            "last_month": last_month.first_day,
            "first_event_at": first_event_at,
            "latest_event_at": latest_event_at,
            "ui_measured_from": ui_measured_from,
            "sdk_measured_from": sdk_measured_from,
            "changed_at": changed_at,
        },
    )


async def update_closed_through(
    tx: AsyncConnection,
    organization_id: UUID,
    closed_through: Month | None,
    last_month: Month | None,
) -> None:
    """Record through which month all are closed, and which month has the latest rows."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(
            closed_through=_first_day(closed_through),
            last_month=_first_day(last_month),
            revision=Organization.revision + 1,
        )
    )


async def record_imported_month(
    tx: AsyncConnection, organization_id: UUID, month: Month, last_month: Month
) -> None:
    """Record that an imported report closed a month, and which month has the latest rows."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(
            first_month=func.least(Organization.first_month, month.first_day),
            last_month=last_month.first_day,
            closed_through=month.first_day,
            imported_through=month.first_day,
            revision=Organization.revision + 1,
        )
    )


async def update_reopened_months(
    tx: AsyncConnection,
    organization_id: UUID,
    *,
    first_month: Month | None,
    last_month: Month | None,
    closed_through: Month | None,
    imported_through: Month | None,
) -> None:
    """Record which months have rows, are closed and are imported after a reopening."""
    await tx.execute(
        update(Organization)
        .where(Organization.organization_id == organization_id)
        .values(
            first_month=_first_day(first_month),
            last_month=_first_day(last_month),
            closed_through=_first_day(closed_through),
            imported_through=_first_day(imported_through),
            revision=Organization.revision + 1,
        )
    )
