"""Decide when PostgreSQL must ANALYZE the tables that ingestion fills.

Autovacuum looks about once a minute. Until then the planner assumes that a table which was just
filled is nearly empty, and reports take far too long.
"""

import logging
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.feed import select_feed_sources
from app.db.table_statistics import analyze, analyze_in_transaction
from app.domain.errors import StoreUnavailable

_log = logging.getLogger(__name__)

_FIRST_ANALYZE = 1_000
_FIRST_ANALYZE_IN_TRANSACTION = 10_000


class AnalyzeTrigger:
    """Runs ANALYZE each time that the number of stored events has doubled."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._doubling = _DoublingCounter(_FIRST_ANALYZE)

    async def record_events(self, event_count: int) -> None:
        """Count committed events, and run ANALYZE when due. A failure of it is only logged."""
        if self._doubling.add(event_count):
            try:
                async with self._database.owner_transaction() as tx:
                    await analyze(tx)
            except StoreUnavailable:
                return
            except Exception:
                # The events are stored, so their sender must not see this error.
                _log.exception("unexpected error during ANALYZE")


class TransactionAnalyzeTrigger:
    """Does the same within one transaction that stores many events.

    Args:
        tx: The transaction.
        organization_id: The organization of the events.
    """

    def __init__(self, tx: Transaction, organization_id: UUID) -> None:
        self._tx, self._organization_id = tx, organization_id
        self._doubling = _DoublingCounter(_FIRST_ANALYZE_IN_TRANSACTION)
        self._has_counted_earlier_events = False

    async def record_events(self, event_count: int) -> None:
        """Count events that the transaction has stored, and run ANALYZE when due."""
        if self._doubling.add(event_count) and not await self._has_more_earlier_events():
            await analyze_in_transaction(self._tx)

    async def _has_more_earlier_events(self) -> bool:
        """Whether more events were stored before; if so, wait until as many have been added.

        This is checked once.
        """
        if self._has_counted_earlier_events:
            return False
        self._has_counted_earlier_events = True
        sources = await select_feed_sources(self._tx, self._organization_id)
        earlier = sum(row.accepted for row in sources) - self._doubling.count
        if earlier <= self._doubling.count:
            return False
        self._doubling.next = earlier
        return True


class _DoublingCounter:
    """A counter that is due at `first`, and then each time that it has doubled."""

    def __init__(self, first: int) -> None:
        self.count, self.next = 0, first

    def add(self, count: int) -> bool:
        """Add to the count; return whether it is due."""
        self.count += count
        if self.count < self.next:
            return False
        self.next = 2 * self.count
        return True
