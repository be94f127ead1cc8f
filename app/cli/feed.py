"""`chargeback feed`: which events arrived, and pruning of old ones."""

from datetime import datetime
from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import TableRow, print_table
from app.clock import system_clock
from app.console import print_line
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.server.store import run_with_store
from app.services.organizations import find_organization
from app.services.retention import MIN_RETENTION_DAYS, prune_events
from resolvers.feed_activity import read_feed_activity

feed = command_group("Show which events arrived; prune old usage events.")


@command(feed, "status", examples=["feed status", "feed status --days 7"])
def status(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    days: Annotated[
        int, typer.Option(metavar="DAYS", help="Number of days to show, latest first.")
    ] = 31,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Show what each source sent, and how many events were accepted by day."""
    run_with_store(
        data_dir, env_file, lambda database, _: print_activity(database, organization, days)
    )


async def print_activity(database: Database, organization: str, days: int) -> None:
    """Print the sources, and the latest days on which events arrived."""
    found = await find_organization(database, organization)
    activity = await read_feed_activity(database, found.organization_id, days=days)
    sources: list[TableRow] = []
    for row in activity.sources:
        times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (row.last_event_at, row.last_received_at))
        sources.append((row.source, f"{row.accepted:,}", f"{row.duplicates:,}", *times))
    by_day: list[TableRow] = []
    for day in activity.days:
        counts = (day.accepted, day.duplicates, day.refused, day.refused_batches)
        by_day.append((str(day.day), *(f"{count:,}" for count in counts)))
    print_table(
        ("Source", *_COUNTS, "Last event", "Last received"),
        sources,
        right=_COUNTS,
        drop=("Last received", "Last event"),
    )
    print_table(("Day", *_COUNTS, *_REFUSED), by_day, right=(*_COUNTS, *_REFUSED))


_COUNTS = ("Accepted", "Duplicates")
_REFUSED = ("Refused", "Refused batches")


@command(feed, "prune", examples=["feed prune --older-than-days 800"])
def prune(
    older_than_days: Annotated[
        int,
        typer.Option(
            metavar="DAYS",
            help="Minimum age, counted from the end of the year in which the events arrived.",
            min=MIN_RETENTION_DAYS,
        ),
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Archive the sums of old usage events and delete the events. No report changes."""
    run_with_store(
        data_dir, env_file, lambda database, _: _prune(database, older_than_days, system_clock())
    )


async def _prune(database: Database, after_days: int, now: datetime) -> None:
    pruned = await prune_events(database, after_days=after_days, now=now)
    for year, count in pruned:
        print_line(f"archived and deleted {count:,} usage events that arrived in {year}")
    if not pruned:
        print_line("no year of usage events is old enough")
