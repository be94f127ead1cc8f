"""Statements that count incoming events by source and by day of arrival."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import OWNER, Columns


class SourceEventCount(NamedTuple):
    """The number of events of one source in a batch, and the time of the latest."""

    source: str
    accepted: int
    duplicates: int
    last_event_at: datetime


async def count_accepted_events(
    tx: AsyncConnection, organization_id: UUID, counts: Sequence[SourceEventCount], now: datetime
) -> None:
    """Add the counts of a stored batch, in the transaction that stores it."""
    await tx.execute(
        _ADD_TO_SOURCES,
        {"organization_id": organization_id, "now": now, **_COUNTS.bind_rows(counts)},
    )
    await tx.execute(
        _ADD_TO_DAY,
        {
            "organization_id": organization_id,
            "day": now.astimezone(UTC).date(),
            "accepted": sum(count.accepted for count in counts),
            "duplicates": sum(count.duplicates for count in counts),
        },
    )


_COUNTS = Columns(
    SourceEventCount,
    source="text",
    accepted="bigint",
    duplicates="bigint",
    last_event_at="timestamptz",
)
_ADD_TO_SOURCES = text(f"""
    INSERT INTO feed_source AS current (organization_id, source, accepted, duplicates,
                                        last_event_at, last_received_at)
    SELECT organization_id, source, accepted, duplicates, last_event_at,
           CAST(:now AS timestamptz)
    FROM {OWNER} CROSS JOIN {_COUNTS.as_rows("counted")}
    ON CONFLICT (organization_id, source) DO UPDATE SET
        accepted = current.accepted + excluded.accepted,
        duplicates = current.duplicates + excluded.duplicates,
        last_event_at = greatest(current.last_event_at, excluded.last_event_at),
        last_received_at = greatest(current.last_received_at, excluded.last_received_at)
""")
_ADD_TO_DAY = text("""
    INSERT INTO feed_day AS current (organization_id, day, accepted, duplicates)
    VALUES (:organization_id, :day, :accepted, :duplicates)
    ON CONFLICT (organization_id, day) DO UPDATE SET
        accepted = current.accepted + excluded.accepted,
        duplicates = current.duplicates + excluded.duplicates
""")


async def count_refused_batch(
    tx: AsyncConnection, organization_id: UUID, event_count: int, now: datetime
) -> None:
    """Count a refused batch; none of its events was stored."""
    await tx.execute(
        text("""
            INSERT INTO feed_day AS current (organization_id, day, refused, refused_batches)
            VALUES (:organization_id, :day, :event_count, 1)
            ON CONFLICT (organization_id, day) DO UPDATE SET
                refused = current.refused + excluded.refused,
                refused_batches = current.refused_batches + 1
        """),
        {
            "organization_id": organization_id,
            "day": now.astimezone(UTC).date(),
            "event_count": event_count,
        },
    )


class FeedSourceRow(NamedTuple):
    """The number of events that a source has sent, and when."""

    source: str
    accepted: int
    duplicates: int
    last_event_at: datetime
    last_received_at: datetime


async def select_feed_sources(
    tx: AsyncConnection,
    organization_id: UUID,
    first: int | None = None,
    after: str | None = None,
) -> Sequence[FeedSourceRow]:
    """Select the sources of an organization, by name: at most `first`, those after `after`."""
    rows = await tx.execute(
        text("""
            SELECT source, accepted, duplicates, last_event_at, last_received_at FROM feed_source
            WHERE organization_id = :organization_id AND source > :after
            ORDER BY source LIMIT CAST(:first AS bigint)
        """),
        {"organization_id": organization_id, "first": first, "after": after or ""},
    )
    return [FeedSourceRow(*row) for row in rows]


async def select_latest_arrival(tx: AsyncConnection, organization_id: UUID) -> datetime | None:
    """Return when the organization's latest event arrived; duplicates count."""
    latest = await tx.execute(
        text("""
            SELECT max(last_received_at) FROM feed_source
            WHERE organization_id = :organization_id
        """),
        {"organization_id": organization_id},
    )
    arrived_at: datetime | None = latest.scalar_one()
    return arrived_at


class FeedDayRow(NamedTuple):
    """What arrived on one day in UTC."""

    day: date
    accepted: int
    duplicates: int
    refused: int
    refused_batches: int


async def select_feed_days(
    tx: AsyncConnection, organization_id: UUID, count: int
) -> Sequence[FeedDayRow]:
    """Select the latest days on which a batch arrived, latest first."""
    rows = await tx.execute(
        text("""
            SELECT day, accepted, duplicates, refused, refused_batches FROM feed_day
            WHERE organization_id = :organization_id ORDER BY day DESC LIMIT :count
        """),
        {"organization_id": organization_id, "count": count},
    )
    return [FeedDayRow(*row) for row in rows]
