"""The table of a workspace's projects and owners that has the sums which a report states."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable

from app.connectors.reports.cells import Held, Margin, fill
from app.connectors.reports.document import Size
from app.domain.sizes import MEGABYTE

Run = tuple[str, str, int]
"""A project, an owner and bytes."""


def runs(owners: int) -> list[Run]:
    """Three experiments for each owner, in ten projects."""
    draws = random.Random(owners)  # noqa: S311  nothing secret is drawn
    return [
        (
            f"project{draws.randrange(10)}",
            f"owner{draws.randrange(owners)}",
            draws.randrange(80 * MEGABYTE),
        )
        for _ in range(3 * owners)
    ]


def stated(parts: Iterable[tuple[str, int]]) -> dict[str, Margin]:
    """How many experiments each name has, and their bytes in megabytes of two decimals."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for name, size_bytes in parts:
        sizes[name].append(size_bytes)
    return {name: Margin(len(own), shown(sum(own))) for name, own in sizes.items()}


def shown(size_bytes: int) -> Size:
    return Size.of(int(size_bytes * 100 / MEGABYTE + 0.5) / 100)


def seconds_for(owners: int) -> float:
    """How long the table of a workspace with so many owners takes; it is as stated."""
    known = runs(owners)
    rows = stated((project, size) for project, _, size in known)
    columns = stated((owner, size) for _, owner, size in known)
    begun = time.process_time()
    cells = fill(rows, columns, shown(sum(size for *_, size in known)), {})
    seconds = time.process_time() - begun
    for index, margins in enumerate((rows, columns)):
        held: dict[str, list[Held]] = defaultdict(list)
        for cell, own in cells.items():
            held[cell[index]].append(own)
        for name, margin in margins.items():
            assert sum(own.experiments for own in held[name]) == margin.experiments
            assert sum(own.size_bytes for own in held[name]) in margin.size
    return seconds


def test_a_workspace_of_5000_members_takes_twice_as_long_as_one_of_2500() -> None:
    half, whole = (min(seconds_for(owners) for _ in range(3)) for owners in (2_500, 5_000))

    # With each cell all owners were looked at: four times as long.
    assert whole < 3 * half
