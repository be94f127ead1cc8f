"""Feed activity: the events that arrived, by source and by day."""

from datetime import date, datetime
from typing import Annotated

import strawberry

from resolvers.feed_activity import read_feed_activity
from schema.request_info import RequestInfo
from schema.scalars import BigInt


@strawberry.type(description="What a source has sent so far. Events name their source.")
class FeedSource:
    """The events that a source has sent so far."""

    source: str = strawberry.field(description="The `source` attribute of its events.")
    accepted: BigInt = strawberry.field(description="Events that were new and are stored.")
    duplicates: BigInt = strawberry.field(description="Events that had already been stored.")
    last_event_at: datetime = strawberry.field(
        description="The latest `time` of its events, by its own clock."
    )
    last_received_at: datetime = strawberry.field(
        description="When a batch with its events last arrived."
    )


@strawberry.type(description="The events that arrived on one day, by outcome.")
class FeedDay:
    """The events that arrived on one day."""

    day: date = strawberry.field(description="The day, in UTC.")
    accepted: BigInt = strawberry.field(description="Events that were new and are stored.")
    duplicates: BigInt = strawberry.field(description="Events that had already been stored.")
    refused: BigInt = strawberry.field(
        description="Events of rejected batches. None of them is stored, valid or not."
    )
    refused_batches: BigInt = strawberry.field(
        description="Rejected batches, including those that were not valid JSON."
    )


@strawberry.type(description="The events that arrived, by source and by day.")
class Feed:
    """The events that arrived, by source and by day."""

    sources: list[FeedSource] = strawberry.field(
        description="Every source that ever sent an event, by name. Empty before the first event."
    )
    days: list[FeedDay] = strawberry.field(
        description="The latest days on which a batch arrived, latest first. Empty before the "
        "first batch."
    )


async def feed(
    info: RequestInfo,
    days: Annotated[
        int, strawberry.argument(description="The maximum number of days, from 1 to 400.")
    ] = 31,
) -> Feed:
    """Return the feed activity of the caller's organization."""
    context = info.context
    activity = await read_feed_activity(
        context.database, context.caller.organization_id, days=days
    )
    return Feed(
        sources=[
            FeedSource(
                source=row.source,
                accepted=BigInt(row.accepted),
                duplicates=BigInt(row.duplicates),
                last_event_at=row.last_event_at,
                last_received_at=row.last_received_at,
            )
            for row in activity.sources
        ],
        days=[
            FeedDay(
                day=row.day,
                accepted=BigInt(row.accepted),
                duplicates=BigInt(row.duplicates),
                refused=BigInt(row.refused),
                refused_batches=BigInt(row.refused_batches),
            )
            for row in activity.days
        ],
    )
