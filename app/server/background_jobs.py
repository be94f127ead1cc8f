"""What `serve` does beside answering: what has become due, and a watch on the clock."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from app.clock import Clock
from app.db.engine import Database
from app.domain.errors import StoreUnavailable
from app.observability.logs import log
from app.services.months import close_due_months
from app.services.retention import prepare_partitions, prune_events
from app.settings import Settings

_LOOK_SECONDS = 10.0
_HOUR_SECONDS = 3600.0
_JUMP = timedelta(minutes=1)


def steady_clock() -> float:
    """Seconds since some moment, those that the machine slept too; nobody can set it."""
    which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(which)


class BackgroundJobs:
    """One process's.

    Args:
        database: The store.
        settings: Whether months close by themselves and old events go, and when.
        clock: The system's clock, which somebody may set.
        steady: One that nobody can set: seconds.
        on_jump: Told of each time that the clock was set by more than a minute.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        clock: Clock,
        steady: Callable[[], float] = steady_clock,
        on_jump: Callable[[], None],
    ) -> None:
        self._database = database
        self._close_after_days = settings.month_close_after_days
        self._prune_after_days = settings.event_retention_days
        self._clock, self._steady, self._on_jump = clock, steady, on_jump
        self._seen_at, self._seen = steady(), clock()
        self._due_at = steady()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable:
                pass  # Its absence is logged already; the next look is soon.
            except Exception:
                log.exception("unexpected error in the chores")
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look at the clock and, once an hour, for what has become due.

        A clock that was set may be wrong, a month closed too soon stays closed, and events
        dropped too soon are gone: for an hour after it was set nothing is done by itself.
        """
        self._look_at_clock()
        if self._steady() < self._due_at:
            return
        now = self._clock()
        await prepare_partitions(self._database, now)
        await self._close_due_months(now)
        await self._prune_events(now)
        self._due_at = self._steady() + _HOUR_SECONDS

    async def _close_due_months(self, now: datetime) -> None:
        if self._close_after_days is None:
            return
        for organization, month in await close_due_months(
            self._database, after_days=self._close_after_days, now=now
        ):
            log.info("month closed", extra={"organization": organization, "month": str(month)})

    async def _prune_events(self, now: datetime) -> None:
        if self._prune_after_days is None:
            return
        for year, count in await prune_events(
            self._database, after_days=self._prune_after_days, now=now
        ):
            log.info("usage events archived and dropped", extra={"year": year, "events": count})

    def _look_at_clock(self) -> None:
        now, steady = self._clock(), self._steady()
        jump = (now - self._seen) - timedelta(seconds=steady - self._seen_at)
        self._seen, self._seen_at = now, steady
        if abs(jump) < _JUMP:
            return
        self._due_at = steady + _HOUR_SECONDS
        self._on_jump()
        facts = {"jump_seconds": round(jump.total_seconds(), 3)}
        log.warning("the clock was set", extra=facts)
