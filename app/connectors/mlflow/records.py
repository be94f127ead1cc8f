"""Records read from MLflow, over REST or from its database. Times are milliseconds since 1970."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEFAULT_WORKSPACE = "default"
"""MLflow's name for the workspace of experiments without one."""
OWNER_TAG = "mlflow.user"
UNKNOWN_OWNER = "(unknown)"
"""The owner of runs that name nobody; their bytes count all the same."""
_NOBODY = frozenset({"", "unknown", UNKNOWN_OWNER})
"""Names of no user. MLflow's client writes `unknown` if its machine does not name the user."""
EARLIEST_MS = 946_684_800_000
"""The year 2000. Earlier times are not times: MLflow stores 0 if a client states no start."""
ALL, UNDATED = 0, 1
"""Buckets that are not one day or hour, all of which start at `EARLIEST_MS` or later."""


class MlflowExperiment(NamedTuple):
    """An MLflow experiment: a project of the report.

    `artifact_location` is the folder of all its artifacts. `tags` holds only the tags that the
    workspace rule needs.
    """

    experiment_id: str
    name: str
    workspace: str
    created_ms: int | None
    updated_ms: int | None
    artifact_location: str
    tags: Mapping[str, str]


class MlflowRun(NamedTuple):
    """An MLflow run, or a logged model without a run: an experiment of the report.

    The client chose `owner`, `started_ms` and `ended_ms`; MLflow does not verify them. Times that
    are missing or before 2000 are None. `running` is true until the client reports the end.
    """

    run_id: str
    experiment_id: str
    owner: str | None
    started_ms: int | None
    ended_ms: int | None
    running: bool
    artifact_uri: str


def resolve_user(*names: str | None) -> str | None:
    """Return the first of these names that names a user, without blanks around it; else None."""
    stripped = ((name or "").strip() for name in names)
    return next((name for name in stripped if name not in _NOBODY), None)


def parse_time(stated_ms: int | str | None) -> int | None:
    """Return a time that a client stated; None if it is missing or before 2000."""
    parsed_ms = int(stated_ms or 0)
    return parsed_ms if parsed_ms >= EARLIEST_MS else None


def find_bucket(started_ms: int | None) -> int:
    """Return the start of the daily bucket of a run."""
    return UNDATED if started_ms is None else started_ms - started_ms % DAY_MS


class MlflowModel(NamedTuple):
    """A logged model. Its files are stored beside those of the run that logged it."""

    model_id: str
    experiment_id: str
    run_id: str | None
    owner: str | None
    created_ms: int
    updated_ms: int
    artifact_uri: str


class MlflowModelVersion(NamedTuple):
    """A version in the model registry. Its files mostly belong to a run or a logged model."""

    name: str
    version: int
    location: str


class MlflowTrace(NamedTuple):
    """A trace: one use of the SDK. `started_ms` is None if it is before 2000."""

    trace_id: str
    user: str | None
    started_ms: int | None


class MlflowAccount(NamedTuple):
    """An account of the basic-auth app, with its roles and permissions.

    Attributes:
        username: The name of the account.
        workspaces: The workspaces in which the account has a role.
        experiments: The ids of the experiments that the account has a permission for, in versions
            of MLflow without roles.
    """

    username: str
    workspaces: frozenset[str] = frozenset()
    experiments: frozenset[str] = frozenset()


class Bucket(NamedTuple):
    """The runs of an experiment that began on one day, or its traces of one hour.

    `start_ms` is the start of the day or hour; `UNDATED` holds those without a time, and `ALL`
    all of them.
    """

    experiment_id: str
    start_ms: int


class TrackingStore(Protocol):
    """A tracking store, read from its database or over REST.

    A bucket's fingerprint changes when anything in the bucket does. A load reads only the buckets
    whose fingerprint differs from the one of the last load.
    """

    async def workspaces(self) -> Sequence[str]:
        """Return the names of all workspaces; empty if this MLflow has none."""
        ...

    async def experiments(self) -> Sequence[MlflowExperiment]:
        """Return all experiments, including deleted ones, sorted by id."""
        ...

    async def run_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of all runs, including deleted ones."""
        ...

    def runs(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowRun]]:
        """Yield the runs in these buckets, page by page."""
        ...

    async def model_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of all logged models, one bucket per experiment."""
        ...

    async def models(self, experiment_id: str) -> Sequence[MlflowModel]:
        """Return the logged models of an experiment."""
        ...

    async def model_versions(self) -> Sequence[MlflowModelVersion]:
        """Return all versions of all registered models."""
        ...

    async def trace_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of all traces."""
        ...

    def traces(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowTrace]]:
        """Yield the traces in these buckets, page by page."""
        ...


class AccountDirectory(Protocol):
    """The accounts of the basic-auth app, read from its database or over REST."""

    async def accounts(self) -> Sequence[MlflowAccount] | None:
        """Return all accounts by username; None if this version of MLflow does not list them."""
        ...
