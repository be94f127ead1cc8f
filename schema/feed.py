"""Feed activity: the events that arrived, by source and by day."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import strawberry

from resolvers.feed_activity import MAX_SOURCES, feed_days, feed_sources
from resolvers.rows import Grouped, Selection
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt


@strawberry.type(description="What a source has sent so far. Events name their source.")
class FeedSource:
    """The events that a source has sent so far."""

    source: str = column(description="The `source` attribute of its events.")
    accepted: BigInt = column(description="Events that were new and are stored.")
    duplicates: BigInt = column(description="Events that had already been stored.")
    last_event_at: datetime = column(
        description="The latest `time` of its events, by its own clock."
    )
    last_received_at: datetime = column(description="When a batch with its events last arrived.")


@strawberry.type(description="The events that arrived on one day, by outcome.")
class FeedDay:
    """The events that arrived on one day."""

    day: date = column(description="The day, in UTC.")
    accepted: BigInt = column(description="Events that were new and are stored.")
    duplicates: BigInt = column(description="Events that had already been stored.")
    refused: BigInt = column(
        description="Events of rejected batches. None of them is stored, valid or not."
    )
    refused_batches: BigInt = column(
        description="Rejected batches, including those that were not valid JSON."
    )


_PageSize = Annotated[
    int, strawberry.argument(description=f"The page size, from 0 to {MAX_SOURCES}.")
]
_After = Annotated[
    str | None,
    strawberry.argument(description="Only sources after this one, the last of a page."),
]


@strawberry.type(description="The events that arrived, by source and by day.")
class Feed:
    """The events that arrived, by source and by day."""

    @batched(
        key=("organization_id",),
        graphql_type=list[FeedSource],
        description="The sources that ever sent an event, by name. Empty before the first event.",
    )
    async def sources(
        info: RequestInfo,
        organizations: Sequence[tuple[UUID]],
        _selection: Selection,
        first: _PageSize = MAX_SOURCES,
        after: _After = None,
    ) -> Grouped:
        return await feed_sources(info.context, organizations, first, after)

    @batched(
        key=("organization_id", "day_count"),
        graphql_type=list[FeedDay],
        description="The latest days on which a batch arrived, latest first. Empty before the "
        "first batch.",
    )
    async def days(
        info: RequestInfo, counts: Sequence[tuple[UUID, int]], _selection: Selection
    ) -> Grouped:
        return await feed_days(info.context, counts)
