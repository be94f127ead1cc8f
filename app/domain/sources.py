"""Sources: what brings facts by itself, and what becomes of what they bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class RunOutcome(StrEnum):
    """How a run of a source ended."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


class SkippedItem(NamedTuple):
    """Something that a source has and that the feed has no place for: what it is, and why."""

    item: str
    reason: str


class CheckpointKey(NamedTuple):
    """Under what a source remembers something."""

    family: str
    key: str


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """What a source brings at a time; stored whole, together with what it is to remember of it.

    Attributes:
        lines: Events, one CloudEvent in JSON each.
        checkpoint: What to know at the next run; None forgets.
        skipped: What could not become an event.
    """

    lines: Sequence[bytes] = ()
    checkpoint: Mapping[CheckpointKey, str | None] = field(default_factory=dict)
    skipped: Sequence[SkippedItem] = ()
