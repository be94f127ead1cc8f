"""What a source remembers of a tracking store, by family (`app/domain/sources.py`).

| family | key | value |
|---|---|---|
| `project` | experiment's id | its place, and when it was last updated |
| `workspace` | name | |
| `user` | username | since when |
| `member` | workspace and username | since when, and whether a role says so |
| `runs/ID` | id of a run, or of a logged model without a run | `RunCheckpoint` |
| `models/ID` | logged model's id | its run, if any, and its folder |
| `run-buckets`, `model-buckets`, `trace-buckets` | experiment's id and start | fingerprint |
| `due` | id of a run | `PendingListing` |
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import orjson

from app.connectors.mlflow.records import DAY_MS, Bucket
from app.domain.sources import CheckpointKey, SkippedItem, SourceBatch

RUN_BUCKETS, MODEL_BUCKETS, TRACE_BUCKETS = "run-buckets", "model-buckets", "trace-buckets"
PROJECTS, WORKSPACES, USERS, MEMBERS, DUE = "project", "workspace", "user", "member", "due"


class LoadCheckpoint(Protocol):
    """What was checkpoint in a family, of these keys or of all."""

    def __call__(
        self, family: str, keys: Sequence[str] | None = None
    ) -> Awaitable[dict[str, str]]:
        """Values by key."""
        ...


class RunCheckpoint(msgspec.Struct, array_like=True):
    """What was told of a run: where it is counted, and its size when it was last listed."""

    start_ms: int
    owner: str
    workspace: str
    project: str
    folder: str
    ended_ms: int | None = None
    running: bool = False
    size_bytes: int | None = None
    listed_ms: int | None = None
    model: bool = False


class PendingListing(msgspec.Struct, array_like=True):
    """A run whose files are to be listed, until then; None is for as long as it runs."""

    experiment_id: str
    until_ms: int | None


@dataclass(slots=True)
class BatchBuilder:
    """What is about to be brought."""

    lines: list[bytes] = field(default_factory=list)
    checkpoint: dict[CheckpointKey, str | None] = field(default_factory=dict)
    skipped: list[SkippedItem] = field(default_factory=list)

    def remember(self, family: str, key: str, value: str | None) -> None:
        """Know this at the next context; None forgets."""
        self.checkpoint[CheckpointKey(family, key)] = value

    def skip(self, what: str, why: str) -> None:
        """Note what has no place."""
        self.skipped.append(SkippedItem(what, why))

    def build(self) -> SourceBatch:
        """All of it, to be stored whole."""
        return SourceBatch(self.lines, self.checkpoint, self.skipped)


def runs_family(experiment_id: str) -> str:
    """The family of the runs of an experiment."""
    return f"runs/{experiment_id}"


def models_family(experiment_id: str) -> str:
    """The family of the logged models of an experiment."""
    return f"models/{experiment_id}"


async def changed_buckets(
    load_checkpoint: LoadCheckpoint, family: str, fingerprints: Mapping[Bucket, str]
) -> Mapping[str, Sequence[int]]:
    """The buckets that are not as they were, by experiment; those that are gone included."""
    known = await load_checkpoint(family)
    now = {_key(bucket): value for bucket, value in fingerprints.items()}
    changed: dict[str, list[int]] = {}
    for key in known.keys() | now.keys():
        if known.get(key) != now.get(key):
            experiment_id, _, start = key.partition("/")
            changed.setdefault(experiment_id, []).append(int(start))
    return {key: sorted(starts) for key, starts in sorted(changed.items())}


def remember_buckets(
    draft: BatchBuilder,
    family: str,
    experiment_id: str,
    starts: Iterable[int],
    fingerprints: Mapping[Bucket, str],
) -> None:
    """Know these buckets as they are now."""
    for start in starts:
        bucket = Bucket(experiment_id, start)
        draft.remember(family, _key(bucket), fingerprints.get(bucket))


def _key(bucket: Bucket) -> str:
    return f"{bucket.experiment_id}/{bucket.start_ms}"


def within(start_ms: int, starts: Sequence[int]) -> bool:
    """Whether a run that began then is in one of the buckets; one that begins at 0 holds all."""
    return starts[0] == 0 or (start_ms - start_ms % DAY_MS) in starts


read_known = msgspec.json.Decoder(RunCheckpoint).decode
read_due = msgspec.json.Decoder(PendingListing).decode


def written(value: object) -> str:
    """A value as it is checkpoint."""
    return msgspec.json.encode(value).decode()


def pair(text: str) -> tuple[str, str]:
    """Two names that make one key."""
    first, second = orjson.loads(text)
    return first, second
