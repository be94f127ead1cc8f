"""What is still to happen, in the order of time.

Each thing that lives keeps one entry, its next act, and puts the following one in when that comes:
so the queue grows with what exists, not with what happens.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from typing import TypeAlias

Instant: TypeAlias = int
"""Microseconds since 1970 in UTC."""
Fact: TypeAlias = tuple[str, str, Mapping[str, object]]
"""An event before it has a time and an id: type, source, data."""
ScheduledAction: TypeAlias = Callable[[Instant], Iterable[Fact]]
"""Does what happens at an instant, if it still can, and says so."""


class EventQueue:
    """Acts by the time at which they are due, those of one instant in the order of entry."""

    __slots__ = ("_acts", "_end", "_entered")

    def __init__(self, end: Instant) -> None:
        self._acts: list[tuple[Instant, int, ScheduledAction]] = []
        self._end = end
        self._entered = 0

    def schedule(self, at: Instant, act: ScheduledAction) -> None:
        """Have it done at that time; never when that is not before the end."""
        if at < self._end:
            self._entered += 1
            heappush(self._acts, (at, self._entered, act))

    def facts(self) -> Iterator[tuple[Instant, Fact]]:
        """Do all, and what comes of it, to the end."""
        while self._acts:
            at, _, act = heappop(self._acts)
            for fact in act(at):
                yield at, fact
