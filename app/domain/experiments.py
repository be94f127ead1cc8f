"""Experiments: what each one adds to the stocks and flows of its workspace, project and owner."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID


class ExperimentStep(IntEnum):
    """What happened to an experiment. Steps of the same instant apply in this order."""

    CREATED = 0
    RESIZED = 1
    DELETED = 2


class Placement(NamedTuple):
    """Where an experiment is counted: its workspace, its project and its owner."""

    workspace_id: UUID
    project_id: UUID
    user_id: UUID


class ExperimentFact(NamedTuple):
    """One event about an experiment.

    Only a creation has a placement, and it may lack a size. Facts sort by the fields before
    `placement`, because no two of them have the same uid.
    """

    occurred_at: datetime
    step: ExperimentStep
    uid: UUID
    placement: Placement | None = None
    size_bytes: int | None = None


class StockChange(NamedTuple):
    """What the stocks of a placement gain or lose at one instant.

    Attributes:
        occurred_at: The instant.
        placement: Where the change is counted.
        experiments: Change in the number of experiments.
        size_bytes: Change in the bytes stored.
        unmeasured: Change in the number of experiments whose size is unknown.
        created: 1 if an experiment was created, else 0.
    """

    occurred_at: datetime
    placement: Placement
    experiments: int
    size_bytes: int
    unmeasured: int = 0
    created: int = 0


def compute_stock_changes(
    facts: Iterable[ExperimentFact], project_ends: Mapping[UUID, Sequence[datetime]]
) -> list[StockChange]:
    """Return every change that one experiment makes to the stocks, in order of time.

    Args:
        facts: All facts about the experiment, in any order.
        project_ends: For each project, when it or its workspace was deleted, sorted. Deleting a
            project deletes its experiments for good.

    Creating an experiment that exists moves it. A size that was known before the creation applies
    unless the creation states another. Until some event states a size, the experiment counts 0
    bytes and is unmeasured.
    """
    timeline = _ExperimentTimeline()
    for fact in sorted(facts):
        timeline.end_with_project(project_ends, before=fact.occurred_at)
        timeline.apply(fact)
    timeline.end_with_project(project_ends, before=None)
    return timeline.changes


class _ExperimentTimeline:
    """Apply one experiment's facts in order of time and collect the resulting changes."""

    def __init__(self) -> None:
        self.changes: list[StockChange] = []
        self._placement: Placement | None = None
        self._placed_at: datetime | None = None
        self._size_bytes: int | None = None

    def apply(self, fact: ExperimentFact) -> None:
        if fact.step is ExperimentStep.DELETED:
            self._delete(fact.occurred_at)
        elif fact.placement is not None:
            self._place(fact.occurred_at, fact.placement, fact.size_bytes)
        elif fact.size_bytes is not None:
            self._resize(fact.occurred_at, fact.size_bytes)

    def end_with_project(
        self, project_ends: Mapping[UUID, Sequence[datetime]], *, before: datetime | None
    ) -> None:
        """Delete the experiment if its project ended after the placement and before `before`."""
        if self._placement is None or self._placed_at is None:
            return
        ends = project_ends.get(self._placement.project_id, ())
        next_end = bisect_left(ends, self._placed_at)
        if next_end < len(ends) and (before is None or ends[next_end] < before):
            self._delete(ends[next_end])

    def _place(self, at: datetime, placement: Placement, size_bytes: int | None) -> None:
        size_bytes = self._size_bytes if size_bytes is None else size_bytes
        if placement == self._placement:
            self._resize(at, size_bytes)
            return
        is_new = self._placement is None
        self._subtract(at)
        self.changes.append(
            StockChange(
                at, placement, 1, size_bytes or 0, int(size_bytes is None), created=int(is_new)
            )
        )
        self._placement, self._placed_at, self._size_bytes = placement, at, size_bytes

    def _resize(self, at: datetime, size_bytes: int | None) -> None:
        if (
            self._placement is not None
            and size_bytes is not None
            and size_bytes != self._size_bytes
        ):
            growth = size_bytes - (self._size_bytes or 0)
            self.changes.append(StockChange(at, self._placement, 0, growth, -self._unmeasured))
        self._size_bytes = size_bytes

    def _delete(self, at: datetime) -> None:
        self._subtract(at)
        self._placement, self._placed_at, self._size_bytes = None, None, None

    def _subtract(self, at: datetime) -> None:
        """Take the experiment out of the stocks where it is counted."""
        if self._placement is not None:
            self.changes.append(
                StockChange(at, self._placement, -1, -(self._size_bytes or 0), -self._unmeasured)
            )

    @property
    def _unmeasured(self) -> int:
        return int(self._size_bytes is None)


@dataclass(slots=True)
class ExperimentFigures:
    """What one month's changes add to the figures of a month row.

    `byte_microseconds` assumes that every change lasts until the month's end.
    `last_experiment_at` is when an experiment was last created, moved or resized.
    """

    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    byte_microseconds: int = 0
    unmeasured: int = 0
    last_experiment_at: datetime | None = None

    def add(self, change: StockChange, remaining_microseconds: int, sign: int) -> None:
        """Add a change (`sign` 1), or take it back (`sign` -1)."""
        self.experiments += sign * change.experiments
        self.experiments_created += sign * change.created
        self.unmeasured += sign * change.unmeasured
        self.size_bytes += sign * change.size_bytes
        self.byte_microseconds += sign * change.size_bytes * remaining_microseconds

    def add_activity(self, at: datetime) -> None:
        """Add an activity."""
        if self.last_experiment_at is None or at > self.last_experiment_at:
            self.last_experiment_at = at

    def carry_forward(self, month_microseconds: int) -> "ExperimentFigures":
        """Return what these changes add to a later month of that length: its stocks."""
        return ExperimentFigures(
            experiments=self.experiments,
            unmeasured=self.unmeasured,
            size_bytes=self.size_bytes,
            byte_microseconds=self.size_bytes * month_microseconds,
        )

    def merge(self, other: "ExperimentFigures") -> None:
        """Add the figures of another placement that belongs to the same row."""
        self.experiments += other.experiments
        self.experiments_created += other.experiments_created
        self.unmeasured += other.unmeasured
        self.size_bytes += other.size_bytes
        self.byte_microseconds += other.byte_microseconds
        if other.last_experiment_at is not None:
            self.add_activity(other.last_experiment_at)

    def __bool__(self) -> bool:
        return bool(
            self.experiments
            or self.experiments_created
            or self.size_bytes
            or self.byte_microseconds
            or self.unmeasured
            or self.last_experiment_at
        )
