"""Statements of what the feed did: by source, and by day of arrival."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import Columns


class SourceCount(NamedTuple):
    """What a batch brought of one source, and when the latest of it happened."""

    source: str
    accepted: int
    duplicates: int
    last_event_at: datetime


async def add_counts(
    tx: AsyncConnection, organization_id: UUID, counts: Sequence[SourceCount], now: datetime
) -> None:
    """Count a stored batch, within its own transaction."""
    await tx.execute(
        _ADD_COUNTS,
        {
            "organization_id": organization_id,
            "now": now,
            "day": now.astimezone(UTC).date(),
            "all_accepted": sum(count.accepted for count in counts),
            "all_duplicates": sum(count.duplicates for count in counts),
            **_COUNTS.bind_rows(counts),
        },
    )


_COUNTS = Columns(
    SourceCount, source="text", accepted="bigint", duplicates="bigint", last_event_at="timestamptz"
)
_ADD_COUNTS = text(f"""
    WITH by_source AS (
        INSERT INTO feed_source AS kept (organization_id, source, accepted, duplicates,
                                         last_event_at, last_received_at)
        SELECT CAST(:organization_id AS uuid), source, accepted, duplicates, last_event_at,
               CAST(:now AS timestamptz)
        FROM {_COUNTS.as_rows("said")}
        ON CONFLICT (organization_id, source) DO UPDATE SET
            accepted = kept.accepted + excluded.accepted,
            duplicates = kept.duplicates + excluded.duplicates,
            last_event_at = greatest(kept.last_event_at, excluded.last_event_at),
            last_received_at = greatest(kept.last_received_at, excluded.last_received_at)
    )
    INSERT INTO feed_day AS kept (organization_id, day, accepted, duplicates)
    VALUES (CAST(:organization_id AS uuid), CAST(:day AS date),
            CAST(:all_accepted AS bigint), CAST(:all_duplicates AS bigint))
    ON CONFLICT (organization_id, day) DO UPDATE SET
        accepted = kept.accepted + excluded.accepted,
        duplicates = kept.duplicates + excluded.duplicates
""")


async def add_refusal(
    tx: AsyncConnection, organization_id: UUID, event_count: int, now: datetime
) -> None:
    """Count a refused batch, of which nothing was stored."""
    await tx.execute(
        text("""
            INSERT INTO feed_day AS kept (organization_id, day, refused, refused_batches)
            VALUES (:organization_id, :day, :event_count, 1)
            ON CONFLICT (organization_id, day) DO UPDATE SET
                refused = kept.refused + excluded.refused,
                refused_batches = kept.refused_batches + 1
        """),
        {
            "organization_id": organization_id,
            "day": now.astimezone(UTC).date(),
            "event_count": event_count,
        },
    )


async def select_feed_sources(tx: AsyncConnection, organization_id: UUID) -> Sequence[Any]:
    """Sources by name: source, accepted, duplicates, last_event_at, last_received_at."""
    found = await tx.execute(
        text("""
            SELECT source, accepted, duplicates, last_event_at, last_received_at FROM feed_source
            WHERE organization_id = :organization_id ORDER BY source
        """),
        {"organization_id": organization_id},
    )
    return found.all()


async def select_feed_days(
    tx: AsyncConnection, organization_id: UUID, count: int
) -> Sequence[Any]:
    """The latest days on which anything arrived, the latest first: all columns."""
    found = await tx.execute(
        text("""
            SELECT day, accepted, duplicates, refused, refused_batches FROM feed_day
            WHERE organization_id = :organization_id ORDER BY day DESC LIMIT :count
        """),
        {"organization_id": organization_id, "count": count},
    )
    return found.all()
