"""What a tracking store says, whichever way it was read. Times are milliseconds since 1970."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEFAULT_WORKSPACE = "default"
"""MLflow's own name for the workspace of whatever is in none."""
OWNER_TAG = "mlflow.user"
_NOBODY = "unknown"
"""What MLflow's client writes as `user_id` when nothing names one."""


class MlflowExperiment(NamedTuple):
    """An MLflow experiment: a project of the report.

    `artifact_location` is the folder of all its artifacts. `tags` are those that the mapping asks
    for.
    """

    experiment_id: str
    name: str
    workspace: str
    created_ms: int | None
    updated_ms: int | None
    artifact_location: str
    tags: Mapping[str, str]


class MlflowRun(NamedTuple):
    """An MLflow run, or a logged model that belongs to none: an experiment of the report.

    `owner` and `started_ms` are what the client claimed. `running` until it is said to have
    ended.
    """

    run_id: str
    experiment_id: str
    owner: str | None
    started_ms: int
    ended_ms: int | None
    running: bool
    artifact_uri: str


def resolve_owner(tagged: str | None, user_id: str | None) -> str | None:
    """Who owns a run, by its tag or else by its `user_id`; None when neither names anybody."""
    return tagged or (user_id if user_id and user_id != _NOBODY else None)


class MlflowModel(NamedTuple):
    """A logged model; its files lie beside those of the run that logged it."""

    model_id: str
    experiment_id: str
    run_id: str | None
    owner: str | None
    created_ms: int
    updated_ms: int
    artifact_uri: str


class MlflowModelVersion(NamedTuple):
    """A version in the registry, and where its files are: mostly a run's or a logged model's."""

    name: str
    version: int
    location: str


class MlflowTrace(NamedTuple):
    """A trace: a use of the SDK."""

    trace_id: str
    user: str | None
    started_ms: int


class MlflowAccount(NamedTuple):
    """A user of the basic-auth app, and what the user may see.

    Attributes:
        username: Its name.
        workspaces: The workspaces in which the user has a role.
        experiments: The ids of experiments for which the user has a permission, where MLflow
            knows no roles yet.
    """

    username: str
    workspaces: frozenset[str] = frozenset()
    experiments: frozenset[str] = frozenset()


class Bucket(NamedTuple):
    """Some runs, or traces, of an experiment: those that began on a day (in an hour), or all."""

    experiment_id: str
    start_ms: int


class TrackingStore(Protocol):
    """A way to read a tracking store.

    A bucket has a fingerprint, which changes when anything in it does: what is read again is
    what is in buckets whose fingerprint is another than last time.
    """

    async def workspaces(self) -> Sequence[str]:
        """The names of all workspaces; none where MLflow knows no workspaces."""
        ...

    async def experiments(self) -> Sequence[MlflowExperiment]:
        """All experiments, deleted ones included, by id."""
        ...

    async def run_buckets(self) -> Mapping[Bucket, str]:
        """The fingerprints of all runs, deleted ones included."""
        ...

    def runs(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowRun]]:
        """The runs in these buckets, some at a time."""
        ...

    async def model_buckets(self) -> Mapping[Bucket, str]:
        """The fingerprints of all logged models, one bucket an experiment."""
        ...

    async def models(self, experiment_id: str) -> Sequence[MlflowModel]:
        """The logged models of an experiment."""
        ...

    async def model_versions(self) -> Sequence[MlflowModelVersion]:
        """All versions of all registered models."""
        ...

    async def trace_buckets(self) -> Mapping[Bucket, str]:
        """The fingerprints of all traces."""
        ...

    def traces(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowTrace]]:
        """The traces in these buckets, some at a time."""
        ...


class AccountDirectory(Protocol):
    """A way to read the users of the basic-auth app."""

    async def accounts(self) -> Sequence[MlflowAccount] | None:
        """All users, by username; None where this version of MLflow does not list them."""
        ...
