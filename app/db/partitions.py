"""Shelves of the event table: a partition for each year of arrival of usage events.

Facts of the directory and of experiments lie on shelf 0 and stay. Usage adds up: once a shelf is
old enough, its sums per month, user and channel are archived and it is dropped as a whole.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.row_security import create_policies
from app.domain.errors import StoreUnavailable
from app.timeouts import LOCK_SECONDS


async def add_shelves(tx: AsyncConnection, now: datetime) -> None:
    """Make the shelves of this year and the next, in an upkeep transaction.

    Usage that finds no shelf of its year lies on the common one, which is slower to clear.
    """
    year = now.astimezone(UTC).year
    missing = [each for each in (year, year + 1) if not await _is_there(tx, each)]
    for each in missing:
        await tx.execute(
            text(f"CREATE TABLE event_usage_{each} PARTITION OF event FOR VALUES IN ({each})")
        )
    if missing:
        await create_policies(tx)


async def _is_there(tx: AsyncConnection, year: int) -> bool:
    """Whether the year has a shelf, or usage of it lies on the common one already."""
    found = await tx.execute(
        text("""
            SELECT to_regclass(:name) IS NOT NULL
                OR EXISTS (SELECT FROM event_usage WHERE shelf = :year)
        """),
        {"name": f"event_usage_{year}", "year": year},
    )
    return bool(found.scalar_one())


async def analyze(tx: AsyncConnection) -> None:
    """Tell PostgreSQL how large the tables have become, in an upkeep transaction.

    It looks by itself about once a minute. Until then it takes a table that was just filled for
    nearly empty, and joins a report's rows in ways that cost the square of their number.
    """
    await tx.execute(_ANALYZE)


async def analyze_within(tx: AsyncConnection) -> None:
    """The same within a transaction that fills the tables: it counts what nobody else sees yet."""
    role = (await tx.execute(text("SELECT current_setting('role')"))).scalar_one()
    await tx.execute(_WORK_AS, {"role": "none"})
    await tx.execute(_ANALYZE)
    await tx.execute(_WORK_AS, {"role": role})


_WORK_AS = text("SELECT set_config('role', :role, true)")
_GROWING = (
    *("account", "workspace", "project", "membership", "event_fact"),
    *("workspace_month", "project_month", "member_month", "user_month"),
)
# Whoever looks at a table keeps others from looking until the transaction ends: they need not.
_ANALYZE = text(f"ANALYZE (SKIP_LOCKED) {', '.join(_GROWING)}")


async def lock_shelves(tx: AsyncConnection) -> None:
    """Let one process at a time add or clear shelves, until its transaction ends."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


# Any 64-bit number that nobody else locks.
_LOCK = 0x7368656C766573


async def select_shelves(tx: AsyncConnection, before_year: int) -> Sequence[int]:
    """The years before that one of which usage events are there, in order."""
    found = await tx.execute(
        text("""
            SELECT year FROM (
                SELECT CAST(substring(relname FROM '[0-9]+$') AS integer) AS year
                FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = to_regclass('event') AND relname ~ '^event_usage_[0-9]+$'
                UNION SELECT shelf FROM event_usage
            ) AS shelf
            WHERE year < :before_year ORDER BY year
        """),
        {"before_year": before_year},
    )
    return list(found.scalars())


async def clear_shelf(tx: AsyncConnection, year: int) -> int:
    """Archive a year's usage and drop its events, in an upkeep transaction.

    Returns:
        The number of events that were dropped.
    """
    archived = (await tx.execute(_ARCHIVE, {"year": year})).scalar_one()
    named = {"name": f"event_usage_{year}"}
    has_partition: Any = await tx.execute(text("SELECT to_regclass(:name) IS NOT NULL"), named)
    if has_partition.scalar_one():
        await _drop(tx, f"event_usage_{year}")
    else:
        await tx.execute(text("DELETE FROM event_usage WHERE shelf = :year"), {"year": year})
    return int(archived)


async def _drop(tx: AsyncConnection, shelf: str) -> None:
    """Dropping waits for every running batch, and each new batch waits for it: not for long."""
    await tx.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    try:
        await tx.execute(text(f"DROP TABLE {shelf}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreUnavailable(
            "A long batch is being stored, so that old events cannot be dropped; try again later."
        ) from error


_LOCK_NOT_AVAILABLE = "55P03"
_ARCHIVE = text("""
    WITH archived AS (
        INSERT INTO usage_archive AS kept
               (organization_id, month, user_id, channel, uses, used_at, events)
        SELECT organization_id, CAST(date_trunc('month', occurred_at AT TIME ZONE 'UTC') AS date),
               subject_id, data->>'channel', sum(uses),
               max(occurred_at) FILTER (WHERE uses <> 0), count(*)
        FROM event CROSS JOIN LATERAL (
            SELECT coalesce(CAST(data->>'count' AS bigint), 1) AS uses) AS said
        WHERE shelf = :year
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (organization_id, month, user_id, channel) DO UPDATE SET
            uses = kept.uses + excluded.uses,
            used_at = greatest(kept.used_at, excluded.used_at),
            events = kept.events + excluded.events
    )
    SELECT count(*) FROM event WHERE shelf = :year
""")
