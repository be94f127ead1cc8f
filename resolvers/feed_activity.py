"""Feed activity: what each source has sent, and what was accepted on each day."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database
from app.db.feed import FeedDayRow, FeedSourceRow, select_feed_days, select_feed_sources
from app.domain.errors import InvalidArgument

MAX_DAYS = 400


class FeedActivity(NamedTuple):
    """Counts of events by source, and by day of arrival with the latest day first."""

    sources: Sequence[FeedSourceRow]
    days: Sequence[FeedDayRow]


async def read_feed_activity(
    database: Database, organization_id: UUID, *, days: int = 31
) -> FeedActivity:
    """Return what each source has sent, and what was accepted on each of the latest days.

    Raises:
        InvalidArgument: `days` is not from 1 to 400.

    Source: `feed_source`, `feed_day`.
    """
    if not 1 <= days <= MAX_DAYS:
        raise InvalidArgument(f"days: must be from 1 to {MAX_DAYS}; got {days}.")
    async with database.transaction(organization_id) as tx:
        return FeedActivity(
            await select_feed_sources(tx, organization_id),
            await select_feed_days(tx, organization_id, days),
        )
