"""AnalyzeTrigger: usage events are archived and dropped, a year of arrival at a time."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.feed import select_feed_sources
from app.db.partitions import (
    add_shelves,
    analyze,
    analyze_within,
    clear_shelf,
    lock_shelves,
    select_shelves,
)
from app.domain.errors import StoreUnavailable

_log = logging.getLogger(__name__)

LEAST_DAYS = 400
"""For so long, at least, an event that is sent again is known to be a duplicate."""


class Cleared(NamedTuple):
    """The usage events of one year of arrival, which are archived and dropped."""

    year: int
    event_count: int


async def prepare_shelves(database: Database, now: datetime) -> None:
    """Make room for this year's and the next year's usage events."""
    async with database.owner_transaction() as tx:
        await lock_shelves(tx)
        await add_shelves(tx, now)


class AnalyzeTrigger:
    """Has PostgreSQL look at its tables each time that a store has doubled since the last look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._doubling = _Doubling(_WORTH_A_LOOK)

    async def stored(self, event_count: int) -> None:
        """Note that so many events were stored; the look may fail, the events are there."""
        if self._doubling.reached_by(event_count):
            try:
                async with self._database.owner_transaction() as tx:
                    await analyze(tx)
            except StoreUnavailable:
                return
            except Exception:
                # Whoever sent them, and those in line behind, are not to learn of it.
                _log.exception("unexpected error while PostgreSQL looked at its tables")


class AnalyzeTriggerWithin:
    """The same for one transaction that stores a great deal.

    Args:
        tx: The transaction.
        organization_id: Whose events they are.
    """

    def __init__(self, tx: Transaction, organization_id: UUID) -> None:
        self._tx, self._organization_id = tx, organization_id
        self._doubling = _Doubling(_WORTH_A_LOOK_WITHIN)
        self._has_asked = False

    async def stored(self, event_count: int) -> None:
        """Note that the transaction stored so many events more."""
        if self._doubling.reached_by(event_count) and not await self._knew_more():
            await analyze_within(self._tx)

    async def _knew_more(self) -> bool:
        """Whether the organization had more events before: then they are waited for, once."""
        if self._has_asked:
            return False
        self._has_asked = True
        sources = await select_feed_sources(self._tx, self._organization_id)
        before = sum(row.accepted for row in sources) - self._doubling.count
        if before <= self._doubling.count:
            return False
        self._doubling.next = before
        return True


class _Doubling:
    """A count that says when it has come to so many, and then each time that it has doubled."""

    def __init__(self, first: int) -> None:
        self.count, self.next = 0, first

    def reached_by(self, more: int) -> bool:
        """Count on, and say whether that was the moment."""
        self.count += more
        if self.count < self.next:
            return False
        self.next = 2 * self.count
        return True


_WORTH_A_LOOK = 1_000
_WORTH_A_LOOK_WITHIN = 10_000


async def prune_events(database: Database, *, after_days: int, now: datetime) -> Sequence[Cleared]:
    """Archive and drop the usage of each year whose last event arrived so many days ago.

    What the reports say does not change, nor what verifying or opening a month again makes of
    them. Several processes may do so at a time: each year is archived once.
    """
    before_year = (now - timedelta(days=after_days)).astimezone(UTC).year
    cleared = []
    async with database.owner_transaction() as tx:
        years = await select_shelves(tx, before_year)
    for year in years:
        async with database.owner_transaction() as tx:
            await lock_shelves(tx)
            if year in await select_shelves(tx, before_year):
                cleared.append(Cleared(year, await clear_shelf(tx, year)))
    return cleared
