"""Measure contenders side by side: round robin, medians and peak memory."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.store import say

Produce = Callable[[], Awaitable[bytes]]
Extract = Callable[[Any], Any]


def identity(document: Any) -> Any:
    return document


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to produce a document.

    Attributes:
        name: The name in the table.
        run: Produces the document.
        extract: Converts the parsed document to the form in which contenders are compared.
        pid: The process that produces it; None for this process, whose memory is not measured.
        idle_bytes: The memory of that process before its first request.
        unpack: Decompresses the document.
    """

    name: str
    run: Produce
    extract: Extract = identity
    pid: int | None = None
    idle_bytes: int = 0
    unpack: Callable[[bytes], bytes] = bytes


@dataclass(slots=True)
class Timing:
    """The measurements of a contender."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    document_bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    def to_record(self) -> dict[str, Any]:
        """Return the figures as the benchmark stores them."""
        return {
            "median_seconds": round(self.median, 5),
            "min_seconds": round(min(self.seconds), 5),
            "max_seconds": round(max(self.seconds), 5),
            "rounds": len(self.seconds),
            "peak_bytes": self.peak_bytes,
            "document_bytes": self.document_bytes,
        }


Timings = dict[str, Timing]


async def compare(title: str, contenders: Sequence[Contender], rounds: int) -> Timings:
    """Check that all contenders produce the same document, then time them round robin.

    Raises:
        AssertionError: Two contenders differ.
    """
    say(f"{title}: {len(contenders)} contenders, {rounds} rounds …")
    timings = {each.name: Timing() for each in contenders}
    await _require_same_documents(title, contenders, timings)
    for each in contenders:
        if each.pid is not None:
            timings[each.name].peak_bytes = await measure_peak(each.run, each.pid, each.idle_bytes)
    for number in range(rounds):
        start = number % len(contenders)
        for each in (*contenders[start:], *contenders[:start]):
            timings[each.name].seconds.append(await time_run(each.run))
    return timings


async def _require_same_documents(
    title: str, contenders: Sequence[Contender], timings: Timings
) -> None:
    """Compare each document with the first contender's. Each contender runs twice, to warm up."""
    expected: Any = None
    for each in contenders:
        await each.run()
        document = await each.run()
        timings[each.name].document_bytes = len(document)
        actual = each.extract(orjson.loads(each.unpack(document)))
        expected = actual if expected is None else expected
        assert actual == expected, (
            f"{title}: {each.name} differs at {_describe_difference(expected, actual)}"
        )


def _describe_difference(expected: Any, actual: Any, path: str = "$") -> str:
    """Return the JSON path of the first difference and both values, cut to 200 characters."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items() if expected.keys() == actual.keys() else ():
            if value != actual[key]:
                return _describe_difference(value, actual[key], f"{path}.{key}")
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            if left != right:
                return _describe_difference(left, right, f"{path}[{index}]")
    return f"{path}: {str(expected)[:200]} and {str(actual)[:200]}"


async def time_run(run: Produce) -> float:
    """Return the seconds that a run takes, after a garbage collection and a short pause."""
    gc.collect()
    await asyncio.sleep(0.02)
    start = time.perf_counter()
    await run()
    return time.perf_counter() - start


async def measure_peak(run: Produce, pid: int, idle_bytes: int) -> int | None:
    """Return the peak memory of the process during a run, beyond what it used when idle.

    This includes memory that the process keeps for its next request. Return None where the system
    does not report a peak.
    """
    gc.collect()
    process = psutil.Process(pid)
    folder = Path(f"/proc/{process.pid}")
    try:
        (folder / "clear_refs").write_text("5")
    except OSError:
        return None
    await run()
    return max(0, _read_peak(folder) - idle_bytes)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)


def _read_peak(folder: Path) -> int:
    lines = (folder / "status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) * 1024
