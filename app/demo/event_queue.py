"""A queue of scheduled actions, in order of time.

Each entity keeps one entry, its next action, which schedules the following one. So the queue grows
with the number of entities, not with the number of events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from typing import TypeAlias

Instant: TypeAlias = int
"""Microseconds since 1970 in UTC."""
Fact: TypeAlias = tuple[str, str, Mapping[str, object]]
"""An event without its time and id: type, source, data."""
ScheduledAction: TypeAlias = Callable[[Instant], Iterable[Fact]]
"""Performs an action at an instant, if it is still possible, and returns its events."""


class EventQueue:
    """Actions by their time; actions of one instant run in the order in which they were added."""

    __slots__ = ("_actions", "_count", "_end")

    def __init__(self, end: Instant) -> None:
        self._actions: list[tuple[Instant, int, ScheduledAction]] = []
        self._end = end
        self._count = 0

    def schedule(self, at: Instant, action: ScheduledAction) -> None:
        """Schedule an action; ignored at or after the end of the history."""
        if at < self._end:
            self._count += 1
            heappush(self._actions, (at, self._count, action))

    def run(self) -> Iterator[tuple[Instant, Fact]]:
        """Run all actions, including those that they schedule, and yield their events."""
        while self._actions:
            at, _, action = heappop(self._actions)
            for fact in action(at):
                yield at, fact
