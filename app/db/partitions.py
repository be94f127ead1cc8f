"""Statements for partitions of the event table: usage events by year of arrival.

Events of users, workspaces, projects, memberships and experiments have partition year 0 and stay
forever. Usage events only add up. Once a year is old enough, the archive keeps its sums per month,
user and channel, and its partition is dropped.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.row_security import create_policies
from app.domain.errors import StoreUnavailable
from app.timeouts import LOCK_SECONDS

# Any 64-bit number that no other advisory lock uses.
_PARTITIONS_LOCK = 0x7061727469746E73
_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE
_ARCHIVE = text("""
    WITH archived AS (
        INSERT INTO usage_archive AS existing
               (organization_id, month, user_id, channel, use_count, last_used_at, event_count)
        SELECT organization_id, CAST(date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS date),
               subject_id, data->>'channel', sum(use_count),
               max(occurred_at) FILTER (WHERE use_count <> 0), count(*)
        FROM event CROSS JOIN LATERAL (
            SELECT coalesce(CAST(data->>'count' AS bigint), 1) AS use_count) AS usage
        WHERE partition_year = :year
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (organization_id, month, user_id, channel) DO UPDATE SET
            use_count = existing.use_count + excluded.use_count,
            last_used_at = greatest(existing.last_used_at, excluded.last_used_at),
            event_count = existing.event_count + excluded.event_count
    )
    SELECT count(*) FROM event WHERE partition_year = :year
""")


async def create_usage_partitions(tx: AsyncConnection, now: datetime) -> None:
    """Create the partitions of this year and the next, in an owner transaction.

    Usage events of a year without a partition go to the default one, which is slower to clear.
    """
    year = now.astimezone(UTC).year
    missing = [each for each in (year, year + 1) if not await _has_usage(tx, each)]
    for each in missing:
        await tx.execute(
            text(f"CREATE TABLE event_usage_{each} PARTITION OF event FOR VALUES IN ({each})")
        )
    if missing:
        await create_policies(tx)


async def _has_usage(tx: AsyncConnection, year: int) -> bool:
    """Return whether a year has a partition, or events in the default partition."""
    partition = await tx.execute(
        text("SELECT to_regclass(:name) IS NOT NULL"), {"name": f"event_usage_{year}"}
    )
    if partition.scalar_one():
        return True
    # Read through the parent: policies that bind the owner let nobody read a partition directly.
    found = await tx.execute(
        text("SELECT 1 FROM event WHERE partition_year = :year LIMIT 1"), {"year": year}
    )
    return found.first() is not None


async def lock_partitions(tx: AsyncConnection) -> None:
    """Keep other processes from creating or dropping partitions until the transaction ends."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PARTITIONS_LOCK})


async def select_usage_years(tx: AsyncConnection, before_year: int) -> Sequence[int]:
    """Return the years before `before_year` that have usage events, in order."""
    partitioned = set((await tx.execute(_SELECT_PARTITION_YEARS)).scalars())
    # Partitions that the condition excludes are not read.
    others = await tx.execute(_SELECT_OTHER_YEARS, {"known": [0, *partitioned]})
    return sorted(each for each in partitioned.union(others.scalars()) if each < before_year)


_SELECT_PARTITION_YEARS = text("""
    SELECT CAST(substring(relname FROM '[0-9]+$') AS integer)
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = to_regclass('event') AND relname ~ '^event_usage_[0-9]+$'
""")
_SELECT_OTHER_YEARS = text("""
    SELECT DISTINCT partition_year FROM event
    WHERE partition_year <> ALL (CAST(:known AS smallint[]))
""")


async def archive_usage_of_year(tx: AsyncConnection, year: int) -> int:
    """Archive a year's usage and drop its events, in an owner transaction.

    Returns:
        The number of events dropped.
    """
    event_count = int((await tx.execute(_ARCHIVE, {"year": year})).scalar_one())
    partition = f"event_usage_{year}"
    found = await tx.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": partition})
    if found.scalar_one():
        await _drop_partition(tx, partition)
    else:
        await tx.execute(text("DELETE FROM event WHERE partition_year = :year"), {"year": year})
    return event_count


async def _drop_partition(tx: AsyncConnection, partition: str) -> None:
    """Drop a partition, unless running batches take too long.

    The drop waits for every running batch, and new batches wait for the drop.
    """
    await tx.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    try:
        await tx.execute(text(f"DROP TABLE {partition}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreUnavailable(
            "Old events cannot be dropped while a long batch is being stored; try again later."
        ) from error
