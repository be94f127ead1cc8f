"""Usage counts: the most frequent events, and the simplest, because they only add up.

A user's month row also holds the figures of the experiments that the user owns. Both are written
in one statement, so that each row is updated once per batch.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.months import FiguresRow, UsageRow, add_to_users
from app.domain.events import Channel, UsageRecordedEvent
from app.domain.ids import user_id
from app.domain.months import Month
from app.ingest.accounts import find_licensed
from app.ingest.batch import Batch


@dataclass(slots=True)
class _MonthUsage:
    """A user's usage in one month.

    An event with a count of 0 adds nothing: it only shows that the channel is measured.
    """

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


async def store_usage(batch: Batch, figures: Sequence[FiguresRow]) -> None:
    """Add the batch's usage, and figures of owned experiments, to the month rows of users."""
    usage = _sum_usage(batch)
    await add_to_users(batch.tx, batch.organization_id, figures, usage, batch.open_months)
    late = [
        row
        for row in usage
        if row.month < batch.open_months[0] and row.ui_usage_count + row.sdk_usage_count
    ]
    if not late:
        return
    licensed = await find_licensed(batch, [(row.month, row.user_id) for row in late])
    for row in late:
        batch.corrections.add_usage(
            row.month,
            row.user_id,
            row.ui_usage_count,
            row.sdk_usage_count,
            is_licensed=(row.month, row.user_id) in licensed,
        )


def _sum_usage(batch: Batch) -> list[UsageRow]:
    usage: dict[tuple[Month, str], _MonthUsage] = defaultdict(_MonthUsage)
    for event in batch.events_of(UsageRecordedEvent):
        data = event.data
        month_usage = usage[Month.containing(event.time), data.username]
        month_usage.add(data.channel, data.uses, event.time)
    return [
        UsageRow(
            month,
            user_id(username),
            month_usage.ui_usage_count,
            month_usage.ui_used_at,
            month_usage.sdk_usage_count,
            month_usage.sdk_used_at,
        )
        for (month, username), month_usage in usage.items()
    ]
