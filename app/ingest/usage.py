"""Usage counts: the bulk of all events, and the simplest, since they only add up.

They stand in the rows of users, beside the figures of what the users own: a row is written once.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.months import FiguresRow, UsageRow, add_to_users
from app.domain.events import Channel, UsageRecordedEvent
from app.domain.ids import user_id
from app.domain.months import Month
from app.ingest.batch import Batch


@dataclass(slots=True)
class _Use:
    """What a user did in a month; an event of no use says that the channel is measured."""

    ui_usage_count: int = 0
    ui_used_at: datetime | None = None
    sdk_usage_count: int = 0
    sdk_used_at: datetime | None = None

    def add(self, channel: Channel, count: int, at: datetime) -> None:
        if channel == "ui":
            self.ui_usage_count += count
            if count and (self.ui_used_at is None or at > self.ui_used_at):
                self.ui_used_at = at
        else:
            self.sdk_usage_count += count
            if count and (self.sdk_used_at is None or at > self.sdk_used_at):
                self.sdk_used_at = at


async def store_users(batch: Batch, figures: Sequence[FiguresRow]) -> None:
    """Add the batch's usage, and these figures of users, to the rows of its months and users."""
    usage = _usage(batch)
    await add_to_users(batch.tx, batch.organization_id, figures, usage, batch.months)
    for row in usage:
        if row.month < batch.months[0]:
            batch.late.add_usage(row.month, row.user_id, row.ui_usage_count, row.sdk_usage_count)


def _usage(batch: Batch) -> list[UsageRow]:
    uses: dict[tuple[Month, str], _Use] = defaultdict(_Use)
    for event in batch.of(UsageRecordedEvent):
        said = event.data
        uses[Month.containing(event.time), said.username].add(said.channel, said.uses, event.time)
    return [
        UsageRow(
            month,
            user_id(username),
            use.ui_usage_count,
            use.ui_used_at,
            use.sdk_usage_count,
            use.sdk_used_at,
        )
        for (month, username), use in uses.items()
    ]
