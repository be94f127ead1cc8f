"""Measuring several ways of doing one thing, side by side: round robin, medians, peak memory."""

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

Run = Callable[[], Awaitable[bytes]]
Read = Callable[[Any], Any]


def as_is(document: Any) -> Any:
    return document


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of producing a document.

    Attributes:
        name: As the table shows it.
        run: Produces the document.
        read: Brings the parsed document into the form in which all are compared.
        pid: The process that produces it; None is this one, whose memory tells nothing.
        idle_bytes: What that process held before it was asked anything.
        unpack: Decompresses the document.
    """

    name: str
    run: Run
    read: Read = as_is
    pid: int | None = None
    idle_bytes: int = 0
    unpack: Callable[[bytes], bytes] = bytes


@dataclass(slots=True)
class Timing:
    """What was measured of a contender."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    document_bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    def shown(self) -> dict[str, Any]:
        """For the record."""
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
    """Check that all say the same, then time them in turns.

    Raises:
        AssertionError: Two contenders differ.
    """
    say(f"{title}: {len(contenders)} contenders, {rounds} rounds …")
    timings = {each.name: Timing() for each in contenders}
    await _check(title, contenders, timings)
    for each in contenders:
        if each.pid is not None:
            timings[each.name].peak_bytes = await peak(each.run, each.pid, each.idle_bytes)
    for number in range(rounds):
        start = number % len(contenders)
        for each in (*contenders[start:], *contenders[:start]):
            timings[each.name].seconds.append(await measured(each.run))
    return timings


async def _check(title: str, contenders: Sequence[Contender], timings: Timings) -> None:
    """The first contender's document is what the others must say; each runs twice, to be warm."""
    expected: Any = None
    for each in contenders:
        await each.run()
        document = await each.run()
        timings[each.name].document_bytes = len(document)
        found = each.read(orjson.loads(each.unpack(document)))
        expected = found if expected is None else expected
        assert found == expected, f"{title}: {each.name} differs at {_difference(expected, found)}"


def _difference(expected: Any, found: Any, path: str = "$") -> str:
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key, value in expected.items():
            if value != found[key]:
                return _difference(value, found[key], f"{path}.{key}")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            if left != right:
                return _difference(left, right, f"{path}[{index}]")
    return f"{path}: {str(expected)[:200]} and {str(found)[:200]}"


async def measured(run: Run) -> float:
    """Seconds that a run takes, once what went before has come to rest."""
    gc.collect()
    await asyncio.sleep(0.02)
    start = time.perf_counter()
    await run()
    return time.perf_counter() - start


async def peak(run: Run, pid: int, idle_bytes: int) -> int | None:
    """What its process holds at most while it runs, beyond what it held when it was idle.

    None where Linux does not tell. What a process keeps for its next request counts too.
    """
    gc.collect()
    process = psutil.Process(pid)
    folder = Path(f"/proc/{process.pid}")
    try:
        (folder / "clear_refs").write_text("5")
    except OSError:
        return None
    await run()
    return max(0, _high_water_mark(folder) - idle_bytes)


def resident_bytes(pid: int) -> int:
    """What a process holds now."""
    return int(psutil.Process(pid).memory_info().rss)


def _high_water_mark(folder: Path) -> int:
    lines = (folder / "status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) * 1024
