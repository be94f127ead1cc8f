"""Sources: the batches that connectors read, and the outcomes of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SCIM_SOURCE = "/scim/v2"
"""The source of the events that SCIM requests cause."""
MLFLOW_PREFIX = "/mlflow/"
"""What the sources of MLflow connectors start with."""
RESERVED_PREFIXES = ("/scim/", MLFLOW_PREFIX)
"""Sources that only the service itself uses.

An event that others sent with the source and id of a later event of the service would make the
later one a duplicate: a directory could then not suspend a user.
"""


class RunOutcome(StrEnum):
    """How a run of a source ended."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


class SkippedItem(NamedTuple):
    """An item of a source that cannot become an event, and the reason."""

    item: str
    reason: str


class CheckpointKey(NamedTuple):
    """The key of a checkpoint value: a family, and a key within it."""

    family: str
    key: str


def is_probably_incomplete(missing: int, known: int) -> bool:
    """Return whether more than half of the entities that a source listed before are missing.

    The likely reason is a mistake: another store, a filtered export or an empty file was read.
    The missing entities end only with `--accept-loss`.
    """
    return 2 * missing > known


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Events of a source, and the checkpoint to store with them in one transaction.

    Attributes:
        lines: Events, one CloudEvent in JSON each.
        checkpoint: Values that the next run needs; None deletes a value.
        skipped: Items that could not become events.
    """

    lines: Sequence[bytes] = ()
    checkpoint: Mapping[CheckpointKey, str | None] = field(default_factory=dict)
    skipped: Sequence[SkippedItem] = ()
