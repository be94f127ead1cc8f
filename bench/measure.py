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
import psutil  # type: ignore[import-untyped]

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
        pid: The process whose memory it uses; None is this one.
        unpack: Decompresses the document.
    """

    name: str
    run: Run
    read: Read = as_is
    pid: int | None = None
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
        timings[each.name].peak_bytes = await _peak(each)
    for number in range(rounds):
        start = number % len(contenders)
        for each in (*contenders[start:], *contenders[:start]):
            timings[each.name].seconds.append(await _seconds(each))
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


async def _seconds(contender: Contender) -> float:
    gc.collect()
    await asyncio.sleep(0.02)
    start = time.perf_counter()
    await contender.run()
    return time.perf_counter() - start


async def _peak(contender: Contender) -> int | None:
    """How much its process grows at most while it runs; None where Linux does not tell."""
    gc.collect()
    process = psutil.Process(contender.pid)
    folder = Path(f"/proc/{process.pid}")
    before = int(process.memory_info().rss)
    try:
        (folder / "clear_refs").write_text("5")
    except OSError:
        return None
    await contender.run()
    return max(0, _high_water_mark(folder) - before)


def _high_water_mark(folder: Path) -> int:
    lines = (folder / "status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) * 1024
