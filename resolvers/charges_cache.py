"""A cache of the charges of months."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from uuid import UUID
from weakref import WeakValueDictionary

from app.db.report_windows import ReportWindow
from app.domain.charges import MonthCharges

CacheKey = tuple[UUID, ReportWindow]
MAX_CACHED_LINES = 200_000


class ChargesCache:
    """The charges of recently requested months.

    The organization's revision is part of the key, and every event, price and assignment raises
    it: an entry is never stale. Concurrent requests for one month compute it once.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[CacheKey, MonthCharges | None] = OrderedDict()
        self._lines = 0
        self._locks: WeakValueDictionary[CacheKey, asyncio.Lock] = WeakValueDictionary()

    async def fetch(
        self, key: CacheKey, compute: Callable[[], Awaitable[MonthCharges | None]]
    ) -> MonthCharges | None:
        """Return the charges of a report, from the cache or computed."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            charges = await compute()
            self._store(key, charges)
            return charges

    def _store(self, key: CacheKey, charges: MonthCharges | None) -> None:
        self._entries[key] = charges
        self._lines += _count_lines(charges)
        while self._lines > MAX_CACHED_LINES and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._lines -= _count_lines(dropped)


def _count_lines(charges: MonthCharges | None) -> int:
    return 1 + (len(charges.lines) if charges else 0)
