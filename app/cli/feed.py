"""`chargeback feed`: what arrived, from whom, and what became of it."""

from datetime import datetime

from rich.table import Table

from app.console import stdout
from app.db.engine import Database
from app.services.organizations import find_organization
from app.services.retention import prune_events
from resolvers.feed_activity import read_feed_activity


async def print_feed(database: Database, organization: str, days: int) -> None:
    """Print the sources, and the latest days on which anything arrived."""
    found = await find_organization(database, organization)
    activity = await read_feed_activity(database, found.organization_id, days=days)
    sources = Table("Source", "IngestResult", "Duplicates", "Last event", "Last received")
    for row in activity.sources:
        moments = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (row.last_event_at, row.last_received_at))
        sources.add_row(row.source, f"{row.accepted:,}", f"{row.duplicates:,}", *moments)
    by_day = Table("Day", "IngestResult", "Duplicates", "Refused", "Refused batches")
    for row in activity.days:
        counts = (row.accepted, row.duplicates, row.refused, row.refused_batches)
        by_day.add_row(str(row.day), *(f"{count:,}" for count in counts))
    stdout.print(sources)
    stdout.print(by_day)


async def prune(database: Database, after_days: int, now: datetime) -> None:
    """Archive and drop old usage events, and say which."""
    cleared = await prune_events(database, after_days=after_days, now=now)
    for year, count in cleared:
        told = f"archived and dropped {count:,} usage events that arrived in {year}"
        stdout.print(told, markup=False, highlight=False)
    if not cleared:
        stdout.print("no year of usage events is old enough", markup=False, highlight=False)
