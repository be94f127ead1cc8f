"""From the sums that a report states to experiments that have them.

A workspace's report counts experiments and bytes twice: by project and by owner. Experiments have
both, so a table is filled whose rows are projects, whose columns are owners, and whose cells add
up to what is stated of each. Any such table gives the same reports; the one that is chosen keeps
what the month before had, so that nothing seems to happen where nothing did.

A size is only known as its two decimals tell it, so bytes may differ within them. Where bytes
cannot be placed (a project of one experiment that no owner has room for, or sums that contradict
each other) the table has less than is stated; the caller sees where.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from app.connectors.reports.document import Size
from app.domain.sizes import MEGABYTE

Cell = tuple[str, str]
"""A project and an owner."""


class Held(NamedTuple):
    """What a cell holds."""

    experiments: int = 0
    size_bytes: int = 0


class Margin(NamedTuple):
    """What is stated of a row or a column."""

    experiments: int
    size: Size


ANY_SIZE = Size(0, 2**60, 0)
NOTHING = Size(0, 0, 0)
_ROUNDING_BYTES = MEGABYTE // 200
"""Half of what the last decimal of a number of megabytes stands for."""


def fill(
    projects: Mapping[str, Margin],
    owners: Mapping[str, Margin],
    total: Size,
    before: Mapping[Cell, Held],
) -> dict[Cell, Held]:
    """Cells that add up to what is stated of each project and owner, as far as that can be.

    Args:
        projects: What is stated of each project.
        owners: The same of each owner; one whose size is not known has `ANY_SIZE`.
        total: The workspace's size.
        before: The cells of the month before.
    """
    sides = _sizes(projects, owners, total, before)
    attempts = (
        _Attempt(projects, owners, sides, kept, choose).run()
        for kept in (before, {})
        for choose in _CHOICES
    )
    return _best(attempts).cells(before)


def _best(attempts: Iterable["_Attempt"]) -> "_Attempt":
    """The first that placed everything, or else the one that left the least."""
    tried = []
    for attempt in attempts:
        if not attempt.unplaced_bytes:
            return attempt
        tried.append(attempt)
    return min(tried, key=lambda attempt: attempt.unplaced_bytes)


def _sizes(
    projects: Mapping[str, Margin],
    owners: Mapping[str, Margin],
    total: Size,
    before: Mapping[Cell, Held],
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of each project and each owner, with one sum where the stated sizes allow it."""
    rows = {name: _possible(margin) for name, margin in projects.items()}
    columns = {name: _possible(margin) for name, margin in owners.items()}
    spans = [total, *(_span(side.values()) for side in (rows, columns))]
    least, most = max(span.least for span in spans), min(span.most for span in spans)
    chosen = min(max(total.likely, least), most) if least <= most else None
    kept = ({}, {}) if chosen is None else _kept(before)
    return (
        _spread(rows, projects, kept[0], chosen),
        _spread(columns, owners, kept[1], chosen),
    )


def _possible(margin: Margin) -> Size:
    """No experiments hold no bytes."""
    return margin.size if margin.experiments else NOTHING


def _span(sizes: Iterable[Size]) -> Size:
    known = list(sizes)
    return Size(sum(size.least for size in known), sum(size.most for size in known), 0)


def _kept(before: Mapping[Cell, Held]) -> tuple[dict[str, int], dict[str, int]]:
    rows: dict[str, int] = defaultdict(int)
    columns: dict[str, int] = defaultdict(int)
    for (project, owner), held in before.items():
        rows[project] += held.size_bytes
        columns[owner] += held.size_bytes
    return rows, columns


def _spread(
    sizes: Mapping[str, Size],
    margins: Mapping[str, Margin],
    kept: Mapping[str, int],
    total: int | None,
) -> dict[str, int]:
    """Bytes that are shown as stated: as before where that is so, and with this sum if any.

    What is missing goes to, or is taken from, where there are the most experiments: one more byte
    finds a place there.
    """
    chosen = {
        name: kept[name] if name in kept and kept[name] in size else size.likely
        for name, size in sizes.items()
    }
    missing = 0 if total is None else total - sum(chosen.values())
    for name in sorted(sizes, key=lambda name: -margins[name].experiments):
        size = sizes[name]
        step = min(max(missing, size.least - chosen[name]), size.most - chosen[name])
        chosen[name] += step
        missing -= step
    return chosen


class _Side:
    """Rows or columns, with what of each is still to be placed, and in how many more cells."""

    def __init__(self, margins: Mapping[str, Margin], sizes: Mapping[str, int]) -> None:
        self.bytes = dict(sizes)
        self.room = {name: margin.experiments for name, margin in margins.items()}
        self.open = {name for name in self.bytes if self._is_open(name)}

    def take(self, name: str, size_bytes: int, cells: int) -> None:
        """Place so many of its bytes, in so many cells that it had none in."""
        self.bytes[name] -= size_bytes
        self.room[name] -= cells
        if not self._is_open(name):
            self.open.discard(name)

    def _is_open(self, name: str) -> bool:
        return bool(self.bytes[name] and self.room[name])


Choice = Callable[[int, int], tuple[int, ...]]
"""Ranks a partner by its bytes beyond what is asked of it and its room; the least is taken."""

_CHOICES: Sequence[Choice] = (
    lambda beyond, room: (-room, -beyond),
    lambda beyond, room: (abs(beyond), -room),
    lambda beyond, _: (-beyond,),
)


class _Attempt:
    """One way to place the bytes, each time from the row or column with the least room."""

    def __init__(
        self,
        projects: Mapping[str, Margin],
        owners: Mapping[str, Margin],
        sides: tuple[Mapping[str, int], Mapping[str, int]],
        kept: Mapping[Cell, Held],
        choose: Choice,
    ) -> None:
        self._margins = projects, owners
        self._sides = _Side(projects, sides[0]), _Side(owners, sides[1])
        self._choose = choose
        self._bytes: dict[Cell, int] = {}
        for cell, held in kept.items():
            if all(name in side.bytes for name, side in zip(cell, self._sides, strict=True)):
                self._place(cell, held.size_bytes)

    @property
    def unplaced_bytes(self) -> int:
        return max(sum(side.bytes.values()) for side in self._sides)

    def run(self) -> "_Attempt":
        """Place until nothing more can be."""
        tightest = [
            self._tightness(index, name)
            for index, side in enumerate(self._sides)
            for name in side.open
        ]
        heapify(tightest)
        while tightest and all(side.open for side in self._sides):
            *_, index, name = candidate = heappop(tightest)
            # What changed since it was put there is there once more, as it is now.
            if name in self._sides[index].open and candidate == self._tightness(index, name):
                for changed in enumerate(self._place_next(index, name)):
                    heappush(tightest, self._tightness(*changed))
        return self

    def _tightness(self, index: int, name: str) -> tuple[int, int, int, str]:
        side = self._sides[index]
        return side.room[name], -side.bytes[name], index, name

    def _place_next(self, index: int, name: str) -> Cell:
        """Place of a row (0) or a column (1) what one partner takes."""
        own, other = self._sides[index], self._sides[1 - index]
        partner = self._partner(own.bytes[name], own.room[name], other)
        cell = (name, partner) if index == 0 else (partner, name)
        self._place(cell, min(own.bytes[name], other.bytes[partner]))
        return cell

    def _partner(self, wanted: int, room: int, other: _Side) -> str:
        """One that takes all when there is room for one cell alone; else the best ranked."""
        whole = self._whole(wanted, other) if room == 1 else ()
        return min(whole or other.open, key=lambda name: self._rank(name, wanted, other))

    def _whole(self, wanted: int, other: _Side) -> Sequence[str]:
        return [
            name for name in other.open
            if other.bytes[name] + _ROUNDING_BYTES >= wanted
            and (other.room[name] > 1 or other.bytes[name] - wanted <= _ROUNDING_BYTES)
        ]  # fmt: skip

    def _rank(self, name: str, wanted: int, other: _Side) -> tuple[Any, ...]:
        return *self._choose(other.bytes[name] - wanted, other.room[name]), name

    def _place(self, cell: Cell, size_bytes: int) -> None:
        sides = list(zip(cell, self._sides, strict=True))
        placed = min(size_bytes, *(side.bytes[name] for name, side in sides))
        if placed <= 0 or (cell not in self._bytes and not all(s.room[n] for n, s in sides)):
            return
        for name, side in sides:
            side.take(name, placed, cell not in self._bytes)
        self._bytes[cell] = self._bytes.get(cell, 0) + placed

    def cells(self, before: Mapping[Cell, Held]) -> dict[Cell, Held]:
        """The cells: an experiment each, and the others where they were, or anywhere."""
        counts = _Counts(self._bytes, *(side.room for side in self._sides))
        for cell, held in before.items():
            counts.raise_to(cell, held.experiments)
        counts.raise_all()
        return {cell: Held(n, self._bytes.get(cell, 0)) for cell, n in counts.found.items()}


class _Counts:
    """Experiments by cell, and how many of each row and column are left."""

    def __init__(
        self, cells: Iterable[Cell], rows: Mapping[str, int], columns: Mapping[str, int]
    ) -> None:
        self.found = dict.fromkeys(cells, 1)
        self._rows, self._columns = dict(rows), dict(columns)

    def raise_to(self, cell: Cell, count: int) -> None:
        """Count so many in a cell, as far as they are left."""
        row, column = cell
        known = self.found.get(cell, 0)
        more = min(count - known, self._rows.get(row, 0), self._columns.get(column, 0))
        if more > 0:
            self.found[cell] = known + more
            self._rows[row] -= more
            self._columns[column] -= more

    def raise_all(self) -> None:
        """Count what is left, along the diagonal."""
        rows = [name for name, left in sorted(self._rows.items()) if left]
        columns = [name for name, left in sorted(self._columns.items()) if left]
        while rows and columns:
            cell = rows[0], columns[0]
            self.raise_to(cell, self.found.get(cell, 0) + self._rows[cell[0]])
            if not self._rows[cell[0]]:
                rows.pop(0)
            if not self._columns[cell[1]]:
                columns.pop(0)
