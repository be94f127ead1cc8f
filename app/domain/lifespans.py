"""Lifespans: from when to when an entity existed, computed from a set of creations and deletions.

Every rule in this module, in `accounts` and in `experiments` is a pure function of a *set* of
facts, sorted by the time at which they happened. Arrival order therefore cannot influence a
report: no function ever sees it (ADR 0002).

Facts of the same instant apply in the order created, changed, deleted; remaining ties are broken
by the event's key. Clocks that tick in seconds make such ties common.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple


class Lifespan(NamedTuple):
    """A half-open period of existence; `ended_at` is None while the entity still exists."""

    started_at: datetime
    ended_at: datetime | None

    def covers(self, instant: datetime) -> bool:
        """Return whether the entity exists at that instant.

        >>> from datetime import UTC
        >>> march, april = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
        >>> Lifespan(march, april).covers(march), Lifespan(march, april).covers(april)
        (True, False)
        """
        return self.started_at <= instant and (self.ended_at is None or instant < self.ended_at)


def build_lifespans(starts: Iterable[datetime], ends: Iterable[datetime]) -> list[Lifespan]:
    """Return the lifespans of an entity that can be created and deleted repeatedly, in order.

    A start within a lifespan changes nothing, and neither does an end outside of one. An entity
    that is created and deleted at the same instant gets an empty lifespan: it existed, but no
    report shows it.

    >>> from datetime import UTC
    >>> first, second, third, fourth = (datetime(2026, 9, day, tzinfo=UTC) for day in range(1, 5))
    >>> spans = build_lifespans(starts=[fourth, first, second], ends=[third])
    >>> spans == [Lifespan(first, third), Lifespan(fourth, None)]
    True
    """
    sorted_ends = sorted(ends)
    lifespans: list[Lifespan] = []
    for started_at in sorted(starts):
        if lifespans and _reaches(lifespans[-1], started_at):
            continue
        next_end = bisect_left(sorted_ends, started_at)
        ended_at = sorted_ends[next_end] if next_end < len(sorted_ends) else None
        lifespans.append(Lifespan(started_at, ended_at))
    return lifespans


def _reaches(lifespan: Lifespan, instant: datetime) -> bool:
    return lifespan.ended_at is None or instant <= lifespan.ended_at


def existed_before(lifespans: Sequence[Lifespan], end: datetime) -> bool:
    """Return whether the entity exists at the last instant before `end`."""
    return any(
        lifespan.started_at < end and (lifespan.ended_at is None or lifespan.ended_at >= end)
        for lifespan in lifespans
    )
