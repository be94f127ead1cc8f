"""Feed activity: what each source has sent, and what was accepted on each day."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database
from app.db.feed import FeedDayRow, FeedSourceRow, select_feed_days, select_feed_sources
from app.domain.errors import InvalidArgument
from resolvers.context import Context
from resolvers.levels import parse_page
from resolvers.rows import Grouped, positions

MAX_DAYS = 400
MAX_SOURCES = 1_000
"""Senders choose the names of sources, so an organization can have any number of them."""


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
    _require_days(days)
    async with database.transaction(organization_id) as tx:
        return FeedActivity(
            await select_feed_sources(tx, organization_id),
            await select_feed_days(tx, organization_id, days),
        )


def feed_of_caller(context: Context, days: int) -> Grouped:
    """Return the key of the caller's feed: one row with `organization_id` and `day_count`.

    Raises:
        InvalidArgument: `days` is not from 1 to 400.
    """
    _require_days(days)
    columns = {"organization_id": 0, "day_count": 1}
    return Grouped(columns, [[(context.caller.organization_id, days)]])


async def feed_sources(
    context: Context, organizations: Sequence[tuple[UUID]], first: int, after: str | None
) -> Grouped:
    """Return a page of the sources of each organization, by name.

    Columns: those of `FeedSourceRow`.

    Raises:
        InvalidArgument: `first` is not a page size, or `after` contains U+0000.

    Source: `feed_source`.
    """
    page = parse_page(first, after, max_size=MAX_SOURCES)
    groups = []
    for (organization_id,) in organizations:
        async with context.database.transaction(organization_id) as tx:
            groups.append(await select_feed_sources(tx, organization_id, page.first, page.after))
    return Grouped(positions(FeedSourceRow._fields), groups)


async def feed_days(context: Context, counts: Sequence[tuple[UUID, int]]) -> Grouped:
    """Return the latest days of each organization on which a batch arrived, latest first.

    Columns: those of `FeedDayRow`.

    Source: `feed_day`.
    """
    groups = []
    for organization_id, count in counts:
        async with context.database.transaction(organization_id) as tx:
            groups.append(await select_feed_days(tx, organization_id, count))
    return Grouped(positions(FeedDayRow._fields), groups)


def _require_days(days: int) -> None:
    if not 1 <= days <= MAX_DAYS:
        raise InvalidArgument(f"days: must be from 1 to {MAX_DAYS}; got {days}.")
