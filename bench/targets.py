"""The performance targets, and the figures of a run for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log2
from typing import Any

from bench import cases, charges, startup
from bench.execution import Execution
from bench.feed import FeedMeasurement
from bench.latency import Latency
from bench.load import Loads
from bench.measure import Timing, Timings


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be at most the limit or, with `at_least`, at least the limit."""

    name: str
    ratio: float
    limit: float
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def to_record(self) -> dict[str, Any]:
        """Return the figures as the benchmark stores them."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "limit": self.limit,
            "bound": "at least" if self.at_least else "at most",
            "reached": self.is_reached,
        }


@dataclass(slots=True)
class Results:
    """All measurements of a run; parts that did not run are empty.

    Attributes:
        timings: The contenders' timings, by case.
        load: The contenders' requests per second of the narrow query.
        growth: The product's timings, by scale of the organization.
        startup: The CPU seconds of quick commands.
        serve_seconds: The time until the service is ready.
        pages: The timings of the queries of the page Month.
    """

    timings: dict[str, Timings]
    load: Loads
    growth: Mapping[int, Timings]
    execution: dict[str, Execution]
    feed: Sequence[FeedMeasurement]
    latency: Mapping[str, Latency]
    startup: Mapping[str, float] = field(default_factory=dict)
    serve_seconds: float | None = None
    pages: Mapping[str, Timing] = field(default_factory=dict)


def list_targets(results: Results) -> list[Target]:
    """Return every target that the run measured."""
    return [
        *(target for timings in results.timings.values() for target in _case_targets(timings)),
        *_rival_targets(results.timings),
        *_charge_targets(results.timings),
        *_load_targets(results.load),
        *_growth_targets(results.growth),
        *_execution_targets(results.execution),
        *_feed_targets(results.feed),
        *_latency_targets(results.latency),
        *_startup_targets(results.startup, results.serve_seconds),
        *_page_targets(results.pages),
    ]


_RATIOS = [
    ("GraphQL, in process, by hand = 1", cases.OURS, cases.BY_HAND, 0.8, False),
    ("GraphQL over HTTP, by hand over HTTP = 1", cases.OURS_HTTP, cases.BY_HAND_HTTP, 0.8, False),
    ("PostGraphile over HTTP, GraphQL = 1", cases.POSTGRAPHILE, cases.OURS_HTTP, 2, True),
    ("REST, in process, by hand = 1", cases.REST, cases.BY_HAND, 0.7, False),
    ("REST over HTTP, by hand over HTTP = 1", cases.REST_HTTP, cases.BY_HAND_HTTP, 0.7, False),
    (
        "by hand over HTTP, closed month, stored = 1",
        cases.BY_HAND_HTTP,
        cases.CLOSED_GZIP,
        50,
        True,
    ),
    ("by hand over HTTP, closed month, plain = 1", cases.BY_HAND_HTTP, cases.CLOSED, 50, True),
    ("narrow query over HTTP, its SQL = 1", cases.OURS_HTTP, cases.SAME_SQL, 2, False),
]
"""Target name, dividend, divisor, limit, `at_least`; both contenders belong to one case."""
_CASES_WITH_TARGETS = {cases.STANDARD, cases.REST, cases.SAME_SQL}
"""A contender from each case that has targets."""


def _charge_targets(timings: Mapping[str, Timings]) -> Iterator[Target]:
    for case, dividend, divisor, limit in (
        (charges.COMPARISON, charges.COMPARED, charges.BOTH_READ, 1.3),
        (charges.CHARGES, charges.COLD, charges.BY_HAND, 1.5),
        (charges.CHARGES, charges.CACHED, charges.BY_HAND, 0.1),
    ):
        measured = timings.get(case)
        if measured:
            ratio = measured[dividend].median / measured[divisor].median
            yield Target(f"{case.split(':')[0]}: {dividend}, {divisor} = 1", ratio, limit)
    for case, measured in timings.items():
        peaks = [timing.peak_bytes for timing in measured.values() if timing.peak_bytes]
        if case.startswith(charges.EXPORTS.split("{")[0]) and peaks:
            yield Target(f"largest peak of {case}, MB above idle", max(peaks) / 2**20, 64)


_RIVAL_CASES = {
    cases.NARROW: "narrow query",
    cases.PAGE: "page of 50 workspaces",
    cases.FIRST_MEMBERS: "members(first: 10)",
}


def _rival_targets(timings: Mapping[str, Timings]) -> Iterator[Target]:
    """Yield the ratio to PostGraphile of each case that has its own documents."""
    for case, name in _RIVAL_CASES.items():
        measured = timings.get(case, {})
        if cases.POSTGRAPHILE in measured:
            ratio = measured[cases.OURS_HTTP].median / measured[cases.POSTGRAPHILE].median
            yield Target(f"{name} over HTTP, PostGraphile over HTTP = 1", ratio, 1)


def _load_targets(load: Loads) -> Iterator[Target]:
    if load:
        ours, rival = (
            next(each for each in load[name] if each.connections == _TARGET_CONNECTIONS)
            for name in (cases.OURS_HTTP, cases.STRAWBERRY_HTTP)
        )
        name = f"narrow queries a second, {_TARGET_CONNECTIONS} connections, Strawberry = 1"
        yield Target(name, ours.per_second / rival.per_second, 3, at_least=True)


_TARGET_CONNECTIONS = 16


def _case_targets(timings: Timings) -> Iterator[Target]:
    if not _CASES_WITH_TARGETS & timings.keys():
        return
    for name, dividend, divisor, limit, at_least in _RATIOS:
        if dividend in timings and divisor in timings:
            ratio = timings[dividend].median / timings[divisor].median
            yield Target(name, ratio, limit, at_least)


def _growth_targets(growth: Mapping[int, Timings]) -> Iterator[Target]:
    """Yield the ratio of times per doubling of the organization, from each size to the next."""
    for small, large in pairwise(sorted(growth)):
        for name, timing in growth[large].items():
            ratio = timing.median / growth[small][name].median
            doublings = log2(large / small)
            base_name = f"{name}: \u00d7{large} to \u00d7{small}"
            yield Target(
                base_name if doublings == 1 else f"{base_name}, by doubling",
                ratio ** (1 / doublings),
                2.1,
            )


def _execution_targets(execution: Mapping[str, Execution]) -> Iterator[Target]:
    if execution:
        ours, standard = execution.values()
        times = standard.timing.median / ours.timing.median
        yield Target("standard executor without a database, breadth first = 1", times, 15, True)
        memory = ours.overhead_bytes / standard.overhead_bytes
        yield Target("its peak memory beyond rows and response, standard = 1", memory, 0.1)


_FEED_TARGETS = {1: 2_000, 100: 15_000, 5_000: 20_000}
"""Events per CPU second, by batch size."""


def _feed_targets(feed: Sequence[FeedMeasurement]) -> Iterator[Target]:
    for measurement in feed:
        name = f"feed, events per CPU second, in batches of {measurement.batch:,}"
        limit = _FEED_TARGETS[measurement.batch]
        yield Target(name, measurement.per_core_second, limit, at_least=True)
        name = f"a report while batches of {measurement.batch:,} are stored, idle = 1"
        yield Target(name, measurement.slowdown, 2)


def _latency_targets(latency: Mapping[str, Latency]) -> Iterator[Target]:
    for when, measured in latency.items():
        if measured.stall_seconds is not None:
            name = f"longest step of the event loop {when}, in ms"
            yield Target(name, measured.stall_seconds * 1_000, 50)
        name = f"longest wait of a health check {when}, in ms"
        yield Target(name, measured.max_seconds * 1_000, 50)


def _startup_targets(
    seconds: Mapping[str, float], serve_seconds: float | None
) -> Iterator[Target]:
    for name, value in seconds.items():
        if name != startup.NOTHING:
            ratio = value / seconds[startup.NOTHING]
            yield Target(f"CPU of {name}, {startup.NOTHING} = 1", ratio, 8)
    if serve_seconds is not None:
        yield Target("seconds until chargeback serve is ready", serve_seconds, 1.5)


def _page_targets(pages: Mapping[str, Timing]) -> Iterator[Target]:
    if pages:
        slowest = max(timing.median for timing in pages.values())
        yield Target(
            "slowest query of the first view of the page Month, in ms", slowest * 1e3, 100
        )
