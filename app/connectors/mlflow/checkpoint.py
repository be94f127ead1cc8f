"""What a source stores between runs, by family (see `CheckpointKey` in `app/domain/sources.py`).

| family | key | value |
|---|---|---|
| `project` | experiment id | its workspace and project name, and its last update |
| `workspace` | name | |
| `user` | username | user since |
| `member` | workspace and username | member since, and whether by a role |
| `runs/ID` | id of a run, or of a logged model without a run | `RunCheckpoint` |
| `models/ID` | logged model id | its run, if any, and its folder |
| `ended/KIND` | key of a run, experiment, workspace, user or member | when it ended |
| `run-buckets`, `model-buckets`, `trace-buckets` | experiment id and start | fingerprint |
| `due` | run id | `PendingListing` |
"""

from collections.abc import Awaitable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import orjson

from app.connectors.mlflow.records import ALL, Bucket
from app.domain.sources import CheckpointKey, SkippedItem, SourceBatch

RUN_BUCKETS, MODEL_BUCKETS, TRACE_BUCKETS = "run-buckets", "model-buckets", "trace-buckets"
PROJECTS, WORKSPACES, USERS, MEMBERS, DUE = "project", "workspace", "user", "member", "due"


class LoadCheckpoint(Protocol):
    """Load the checkpoint of a family, for some keys or for all."""

    def __call__(
        self, family: str, keys: Sequence[str] | None = None
    ) -> Awaitable[dict[str, str]]:
        """Return the stored values by key."""
        ...


class RunCheckpoint(msgspec.Struct, array_like=True):
    """The state of a run as last reported, and its size when its files were last listed.

    Attributes:
        start_ms: Since when it counts.
        placed_ms: Since when it counts for this owner in this project.
        bucket_ms: Its bucket in MLflow.
    """

    start_ms: int
    placed_ms: int
    bucket_ms: int
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
    """A run whose files are listed in every load until `until_ms`; None means while it runs."""

    experiment_id: str
    until_ms: int | None


@dataclass(slots=True)
class BatchBuilder:
    """Collects the content of a `SourceBatch`."""

    lines: list[bytes] = field(default_factory=list)
    checkpoint: dict[CheckpointKey, str | None] = field(default_factory=dict)
    skipped: list[SkippedItem] = field(default_factory=list)

    def set_checkpoint(self, family: str, key: str, value: str | None) -> None:
        """Store a value for the next load; None deletes it."""
        self.checkpoint[CheckpointKey(family, key)] = value

    def record_end(self, kind: str, key: str, at_ms: int) -> None:
        """Remember that an entity was reported as ended, should it turn up again."""
        self.set_checkpoint(_ended_family(kind), key, str(at_ms))

    def skip(self, item: str, reason: str) -> None:
        """Record an item that cannot be reported."""
        self.skipped.append(SkippedItem(item, reason))

    def build(self) -> SourceBatch:
        """Return the batch."""
        return SourceBatch(self.lines, self.checkpoint, self.skipped)


def runs_family(experiment_id: str) -> str:
    """Return the checkpoint family of an experiment's runs."""
    return f"runs/{experiment_id}"


def models_family(experiment_id: str) -> str:
    """Return the checkpoint family of an experiment's logged models."""
    return f"models/{experiment_id}"


def _ended_family(kind: str) -> str:
    return f"ended/{kind}"


async def load_ends(
    load_checkpoint: LoadCheckpoint, kind: str, keys: Sequence[str] | None = None
) -> dict[str, int]:
    """Return when entities were reported as ended: of these keys, or all that ever were."""
    ends = await load_checkpoint(_ended_family(kind), keys)
    return {key: int(value) for key, value in ends.items()}


def drop_unknown_experiments(
    fingerprints: Mapping[Bucket, str], experiment_ids: Container[str]
) -> Mapping[Bucket, str]:
    """Return the fingerprints of these experiments only.

    So the buckets of an experiment that vanishes are forgotten, and read again if it comes back.
    """
    return {
        bucket: value
        for bucket, value in fingerprints.items()
        if bucket.experiment_id in experiment_ids
    }


async def find_changed_buckets(
    load_checkpoint: LoadCheckpoint, family: str, fingerprints: Mapping[Bucket, str]
) -> Mapping[str, Sequence[int]]:
    """Return the starts of new, changed and removed buckets, by experiment."""
    before = await load_checkpoint(family)
    after = {_encode_bucket(bucket): value for bucket, value in fingerprints.items()}
    changed: dict[str, list[int]] = {}
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            experiment_id, _, start = key.partition("/")
            changed.setdefault(experiment_id, []).append(int(start))
    return {key: sorted(starts) for key, starts in sorted(changed.items())}


def store_fingerprints(
    batch: BatchBuilder,
    family: str,
    experiment_id: str,
    starts: Iterable[int],
    fingerprints: Mapping[Bucket, str],
) -> None:
    """Store the current fingerprints of these buckets."""
    for start in starts:
        bucket = Bucket(experiment_id, start)
        batch.set_checkpoint(family, _encode_bucket(bucket), fingerprints.get(bucket))


def _encode_bucket(bucket: Bucket) -> str:
    return f"{bucket.experiment_id}/{bucket.start_ms}"


def is_in_buckets(run: RunCheckpoint, starts: Sequence[int]) -> bool:
    """Return whether a run is in one of these buckets."""
    return ALL in starts or run.bucket_ms in starts


decode_run = msgspec.json.Decoder(RunCheckpoint).decode
decode_pending_listing = msgspec.json.Decoder(PendingListing).decode


def encode(value: object) -> str:
    """Encode a checkpoint value as JSON."""
    return msgspec.json.encode(value).decode()


def decode_pair(text: str) -> tuple[str, str]:
    """Decode a key that consists of two names."""
    first, second = orjson.loads(text)
    return first, second
