"""Background jobs of `serve`: close due months, prune events, watch the clock."""

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

START_SECONDS = 600.0
"""No job runs for this long after the start."""

_POLL_SECONDS = 10.0
_HOUR_SECONDS = 3600.0
_CLOCK_JUMP = timedelta(minutes=1)


def read_boot_time() -> float:
    """Return seconds since a fixed moment, suspended time included. Nobody can set this clock."""
    which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(which)


class BackgroundJobs:
    """The background jobs of one process.

    Args:
        database: The store.
        settings: Whether months close automatically and old events are pruned, and when.
        clock: The system's clock, which somebody may set.
        boot_time: A clock that nobody can set, in seconds.
        on_clock_jump: Called each time that the system's clock was set by more than a minute.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        clock: Clock,
        boot_time: Callable[[], float] = read_boot_time,
        on_clock_jump: Callable[[], None],
    ) -> None:
        self._database = database
        self._close_after_days = settings.month_close_after_days
        self._prune_after_days = settings.event_retention_days
        self._clock, self._boot_time, self._on_clock_jump = clock, boot_time, on_clock_jump
        self._last_boot_time, self._last_time = boot_time(), clock()
        self._due_at = boot_time() + START_SECONDS

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.poll()
            except StoreUnavailable:
                pass  # The store monitor has logged it; the next poll is soon.
            except Exception:
                log.exception("unexpected error in a background job")
            await asyncio.sleep(_POLL_SECONDS)

    async def poll(self) -> None:
        """Check the clock and, once an hour, run what is due.

        Nothing runs for some minutes after the start, when the clock may not be set yet, and for
        an hour after the clock was set. The clock may be wrong, a month that was closed too early
        stays closed, and pruned events are gone.
        """
        self._check_clock()
        if self._boot_time() < self._due_at:
            return
        now = self._clock()
        await prepare_partitions(self._database, now)
        await self._close_due_months(now)
        await self._prune_events(now)
        self._due_at = self._boot_time() + _HOUR_SECONDS

    async def _close_due_months(self, now: datetime) -> None:
        if self._close_after_days is None:
            return
        for organization, month in await close_due_months(
            self._database,
            after_days=self._close_after_days,
            now=now,
            on_failure=_log_close_failure,
        ):
            log.info("month closed", extra={"organization": organization, "month": str(month)})

    async def _prune_events(self, now: datetime) -> None:
        if self._prune_after_days is None:
            return
        for year, count in await prune_events(
            self._database, after_days=self._prune_after_days, now=now
        ):
            log.info("usage events archived and dropped", extra={"year": year, "events": count})

    def _check_clock(self) -> None:
        now, boot_time = self._clock(), self._boot_time()
        jump = (now - self._last_time) - timedelta(seconds=boot_time - self._last_boot_time)
        self._last_time, self._last_boot_time = now, boot_time
        if abs(jump) < _CLOCK_JUMP:
            return
        self._due_at = boot_time + _HOUR_SECONDS
        self._on_clock_jump()
        fields = {"jump_seconds": round(jump.total_seconds(), 3)}
        log.warning("the clock was set", extra=fields)


def _log_close_failure(organization: str, error: Exception) -> None:
    log.error(
        "the months of an organization could not be closed; retrying in an hour",
        exc_info=error,
        extra={"organization": organization},
    )
