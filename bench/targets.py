"""The targets of spec section 11, and how far this run is from each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import Any

from bench import cases
from bench.execution import Execution
from bench.feed import FeedMeasurement
from bench.latency import Latency
from bench.measure import Timings


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that must be reached: at most the limit or, if `at_least`, no less than it."""

    name: str
    ratio: float
    limit: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def shown(self) -> dict[str, Any]:
        """For the record."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "limit": self.limit,
            "bound": "at least" if self.at_least else "at most",
            "reached": self.reached,
        }


@dataclass(slots=True)
class Run:
    """All that was measured; what was skipped is empty.

    Attributes:
        timings: By case: the contenders' times.
        growth: The product's times, by how many times the organization.
    """

    timings: dict[str, Timings]
    growth: Mapping[int, Timings]
    execution: dict[str, Execution]
    feed: Sequence[FeedMeasurement]
    latency: Mapping[str, Latency]


def targets(run: Run) -> list[Target]:
    """Every target that the run has measured."""
    return [
        *(target for timings in run.timings.values() for target in _of_case(timings)),
        *_of_growth(run.growth),
        *_of_execution(run.execution),
        *_of_feed(run.feed),
        *_of_latency(run.latency),
    ]


_RATIOS = [
    ("GraphQL, in process, by hand = 1", cases.OURS, cases.BY_HAND, 1.15, False),
    ("GraphQL over HTTP, by hand over HTTP = 1", cases.OURS_HTTP, cases.BY_HAND_HTTP, 1.15, False),
    ("PostGraphile over HTTP, GraphQL = 1", cases.POSTGRAPHILE, cases.OURS_HTTP, 2, True),
    ("REST, in process, by hand = 1", cases.REST, cases.BY_HAND, 1, False),
    ("REST over HTTP, by hand over HTTP = 1", cases.REST_HTTP, cases.BY_HAND_HTTP, 1, False),
    (
        "by hand over HTTP, closed month, stored = 1",
        cases.BY_HAND_HTTP,
        cases.CLOSED_GZIP,
        50,
        True,
    ),
    ("by hand over HTTP, closed month, plain = 1", cases.BY_HAND_HTTP, cases.CLOSED, 50, True),
    ("narrow query, in process, its SQL = 1", cases.OURS, cases.ITS_SQL, 1.3, False),
    ("narrow query over HTTP, its SQL = 1", cases.OURS_HTTP, cases.ITS_SQL, 1.3, False),
]
"""What is divided by what. A target is of the case in which both are contenders."""
_LISTS = {cases.STANDARD, cases.REST, cases.ITS_SQL}
"""One contender of each case that has targets."""


def _of_case(timings: Timings) -> Iterator[Target]:
    if not _LISTS & timings.keys():
        return
    for name, dividend, divisor, limit, at_least in _RATIOS:
        if dividend in timings and divisor in timings:
            ratio = timings[dividend].median / timings[divisor].median
            yield Target(name, ratio, limit, at_least)


def _of_growth(growth: Mapping[int, Timings]) -> Iterator[Target]:
    """By how much twice the organization takes longer, between each size and the next."""
    for small, large in pairwise(sorted(growth)):
        for name, timing in growth[large].items():
            ratio = timing.median / growth[small][name].median
            doublings = log2(large / small)
            shown = f"{name}: \u00d7{large} to \u00d7{small}"
            yield Target(
                shown if doublings == 1 else f"{shown}, by doubling", ratio ** (1 / doublings), 2.1
            )


def _of_execution(execution: Mapping[str, Execution]) -> Iterator[Target]:
    if execution:
        ours, standard = execution.values()
        times = standard.timing.median / ours.timing.median
        yield Target("standard executor without a database, breadth first = 1", times, 15, True)
        memory = ours.overhead_bytes / standard.overhead_bytes
        yield Target("its peak memory beyond rows and response, standard = 1", memory, 0.1)


def _of_feed(feed: Sequence[FeedMeasurement]) -> Iterator[Target]:
    for measurement in feed:
        name = f"feed, events per CPU second, in batches of {measurement.batch:,}"
        yield Target(name, measurement.per_core_second, 20_000, at_least=True)
        name = f"a report while batches of {measurement.batch:,} are stored, idle = 1"
        yield Target(name, measurement.slowdown, 2)


def _of_latency(latency: Mapping[str, Latency]) -> Iterator[Target]:
    for when, found in latency.items():
        if found.stall_seconds is not None:
            name = f"longest step of the event loop {when}, in ms"
            yield Target(name, found.stall_seconds * 1_000, 50)
        name = f"longest wait of a health check {when}, in ms"
        yield Target(name, found.max_seconds * 1_000, 50)
