"""What the feed did, as admins see it."""

from datetime import date, datetime
from typing import Annotated, Any

import strawberry
from strawberry import Info

from resolvers.context import Context
from resolvers.feed_activity import read_feed_activity
from schema.scalars import BigInt


@strawberry.type(description="What a source, as events name it, has sent so far.")
class FeedSource:
    """What a source has sent so far."""

    source: str = strawberry.field(description="The `source` of its events.")
    accepted: BigInt = strawberry.field(description="Events that were new, and are stored.")
    duplicates: BigInt = strawberry.field(description="Events that were stored already.")
    last_event_at: datetime = strawberry.field(
        description="When the latest of its events happened, by its own clock."
    )
    last_received_at: datetime = strawberry.field(description="When it last sent anything.")


@strawberry.type(description="What arrived on one day in UTC, and what became of it.")
class FeedDay:
    """What arrived on one day."""

    day: date = strawberry.field(description="The day, in UTC.")
    accepted: BigInt = strawberry.field(description="Events that were new, and are stored.")
    duplicates: BigInt = strawberry.field(description="Events that were stored already.")
    refused: BigInt = strawberry.field(
        description="Events of refused batches, the good ones among them included: none is stored."
    )
    refused_batches: BigInt = strawberry.field(
        description="Batches that were refused, those that are no JSON included."
    )


@strawberry.type(description="What arrived, from whom, and what became of it.")
class Feed:
    """What arrived, from whom, and what became of it."""

    sources: list[FeedSource] = strawberry.field(
        description="Everybody who ever sent an event, by name. Empty before the first event."
    )
    days: list[FeedDay] = strawberry.field(
        description="The latest days on which anything arrived, the latest first. Empty before "
        "the first batch."
    )


async def feed(
    info: Info[Context, Any],
    days: Annotated[
        int, strawberry.argument(description="At most so many days, from 1 to 400.")
    ] = 31,
) -> Feed:
    """What the feed of the caller's organization did."""
    context = info.context
    found = await read_feed_activity(context.database, context.caller.organization_id, days=days)
    return Feed(
        sources=[
            FeedSource(
                source=row.source,
                accepted=BigInt(row.accepted),
                duplicates=BigInt(row.duplicates),
                last_event_at=row.last_event_at,
                last_received_at=row.last_received_at,
            )
            for row in found.sources
        ],
        days=[
            FeedDay(
                day=row.day,
                accepted=BigInt(row.accepted),
                duplicates=BigInt(row.duplicates),
                refused=BigInt(row.refused),
                refused_batches=BigInt(row.refused_batches),
            )
            for row in found.days
        ],
    )
