"""Usage counts: the bulk of all events, and the simplest, since they only add up."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from app.db.months import UsageRow, add_usage
from app.domain.events import UsageRecordedEvent
from app.domain.ids import user_id
from app.domain.months import Month
from app.feed.batch import Batch


@dataclass(slots=True)
class _Channel:
    count: int = 0
    used_at: datetime | None = None

    def add(self, count: int, at: datetime) -> None:
        """An event that counts nothing says that the channel is measured, not that it was used."""
        self.count += count
        if count and (self.used_at is None or at > self.used_at):
            self.used_at = at


async def store_usage(batch: Batch) -> None:
    """Add the batch's usage to the rows of its months and users."""
    totals: dict[tuple[date, UUID], dict[str, _Channel]] = defaultdict(
        lambda: {"ui": _Channel(), "sdk": _Channel()}
    )
    for event in batch.of(UsageRecordedEvent):
        key = Month.containing(event.time).first_day, user_id(event.data.username)
        totals[key][event.data.channel].add(event.data.uses, event.time)
    rows = [
        UsageRow(month, user, ui.count, ui.used_at, sdk.count, sdk.used_at)
        for (month, user), channels in totals.items()
        for ui, sdk in [(channels["ui"], channels["sdk"])]
    ]
    if rows:
        await add_usage(batch.tx, batch.organization_id, rows, batch.months)
    for row in rows:
        month = Month.containing(row.month)
        if month < batch.months[0]:
            batch.late.add_usage(month, row.user_id, row.ui_usage_count, row.sdk_usage_count)
