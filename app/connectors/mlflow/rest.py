"""Reading a tracking store, and the users of the basic-auth app, over REST.

The API tells less than the database: not when a run was deleted, and no figures about many runs.
So a bucket is a whole experiment, and its fingerprint is what a few small questions answer. A
run that is logged with a start and an end before those of others is seen with the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from app.connectors.mlflow.http_client import EndpointNotFound, MlflowClient
from app.connectors.mlflow.records import (
    DEFAULT_WORKSPACE,
    OWNER_TAG,
    Bucket,
    MlflowAccount,
    MlflowExperiment,
    MlflowModel,
    MlflowModelVersion,
    MlflowRun,
    MlflowTrace,
    resolve_owner,
)

T = TypeVar("T")

_PAGE = 1_000
_API = "/api/2.0/mlflow"


class RestStore:
    """A tracking store, read from its server.

    Args:
        server: Where it is.
        tags: Which tags of experiments the mapping asks for.
        owner_tag: Which tag of a run names its owner, before its `user_id` does.
    """

    def __init__(
        self, server: MlflowClient, *, tags: Sequence[str], owner_tag: str = OWNER_TAG
    ) -> None:
        self._server = server
        self._tags = frozenset(tags)
        self._owner_tag = owner_tag
        self._where: dict[str, str | None] = {}
        """The workspace to ask in, by experiment: one request sees one workspace."""

    async def workspaces(self) -> Sequence[str]:
        """The names of all workspaces; none where the server has the feature switched off."""
        try:
            told = await self._ask(self._server.get, "/api/3.0/mlflow/server-info", {})
        except EndpointNotFound:
            # Servers before 3.10 do not tell, and know no workspaces.
            return []
        if not told.get("workspaces_enabled"):
            return []
        found = await self._ask(self._server.get, "/api/3.0/mlflow/workspaces", {})
        return sorted(each["name"] for each in found.get("workspaces", []))

    async def experiments(self) -> Sequence[MlflowExperiment]:
        """All experiments, deleted ones included, by id."""
        found: list[MlflowExperiment] = []
        workspaces: Sequence[str | None] = await self.workspaces() or [None]
        for workspace in workspaces:
            body = {"max_results": _PAGE, "view_type": "ALL"}
            for page in await self._pages(f"{_API}/experiments/search", body, workspace):
                for each in page.get("experiments", []):
                    self._where[each["experiment_id"]] = workspace
                    found.append(self._experiment(each, workspace))
        return sorted(found, key=lambda each: int(each.experiment_id))

    def _experiment(self, told: Mapping[str, Any], workspace: str | None) -> MlflowExperiment:
        return MlflowExperiment(
            told["experiment_id"],
            told["name"],
            workspace or told.get("workspace") or DEFAULT_WORKSPACE,
            told.get("creation_time"),
            told.get("last_update_time"),
            told.get("artifact_location", ""),
            {tag["key"]: tag["value"] for tag in told.get("tags", []) if tag["key"] in self._tags},
        )

    async def run_buckets(self) -> Mapping[Bucket, str]:
        """A fingerprint of each experiment: its latest start and end, and what is deleted."""
        return await self._buckets(self._runs_fingerprint)

    async def _runs_fingerprint(self, experiment_id: str) -> str:
        latest = [
            _ids(page)
            for order in ("start_time DESC", "end_time DESC")
            for page in [await self._first_runs(experiment_id, order)]
        ]
        deleted = [run["info"]["run_id"] for run in await self._all(experiment_id, "DELETED_ONLY")]
        return "/".join([*latest, *sorted(deleted)]) if any(latest) or deleted else ""

    async def _first_runs(self, experiment_id: str, order: str) -> Mapping[str, Any]:
        body = {
            "experiment_ids": [experiment_id],
            "max_results": 1,
            "run_view_type": "ALL",
            "order_by": [order],
        }
        where = self._where[experiment_id]
        return await self._ask(self._server.post, f"{_API}/runs/search", body, where)

    async def _all(self, experiment_id: str, view: str) -> Sequence[Mapping[str, Any]]:
        body = {"experiment_ids": [experiment_id], "max_results": _PAGE, "run_view_type": view}
        pages = await self._pages(f"{_API}/runs/search", body, self._where[experiment_id])
        return [run for page in pages for run in page.get("runs", [])]

    async def runs(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowRun]]:
        """All runs of the experiment, whatever the buckets, deleted ones included."""
        del buckets
        yield [
            _run(each["info"], _tag(each.get("data", {}).get("tags", []), self._owner_tag))
            for each in await self._all(experiment_id, "ALL")
        ]

    async def model_buckets(self) -> Mapping[Bucket, str]:
        """A fingerprint of each experiment with logged models: each of them, when last updated."""

        async def fingerprint(experiment_id: str) -> str:
            models = await self.models(experiment_id)
            return "/".join(f"{model.model_id}@{model.updated_ms}" for model in models)

        return await self._buckets(fingerprint)

    async def models(self, experiment_id: str) -> Sequence[MlflowModel]:
        """The logged models of an experiment, by id; deleted ones are not told."""
        try:
            pages = await self._pages(
                f"{_API}/logged-models/search",
                {"experiment_ids": [experiment_id], "max_results": 50},
                self._where[experiment_id],
            )
        except EndpointNotFound:
            # MLflow 2 logs models as artifacts of their runs.
            return []
        found = [
            _model(each["info"], self._owner_tag)
            for page in pages
            for each in page.get("models", [])
        ]
        return sorted(found, key=lambda model: model.model_id)

    async def model_versions(self) -> Sequence[MlflowModelVersion]:
        """All versions of all registered models."""
        found: list[MlflowModelVersion] = []
        for workspace in dict.fromkeys(self._where.values()):
            token = ""
            while True:
                asked = {"max_results": _PAGE} | ({"page_token": token} if token else {})
                page = await self._ask(
                    self._server.get, f"{_API}/model-versions/search", asked, workspace
                )
                found += [
                    MlflowModelVersion(each["name"], int(each["version"]), each.get("source", ""))
                    for each in page.get("model_versions", [])
                ]
                token = page.get("next_page_token") or ""
                if not token:
                    break
        return found

    async def trace_buckets(self) -> Mapping[Bucket, str]:
        """A fingerprint of each experiment with traces: its latest trace."""

        async def fingerprint(experiment_id: str) -> str:
            (page,) = await self._trace_pages(experiment_id, 1, pages=1)
            return "/".join(map(_trace_id, page.get("traces", [])))

        return await self._buckets(fingerprint)

    async def traces(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowTrace]]:
        """All traces of the experiment."""
        del buckets
        for page in await self._trace_pages(experiment_id, 500, pages=None):
            yield [_trace(each) for each in page.get("traces", [])]

    async def _trace_pages(
        self, experiment_id: str, size: int, *, pages: int | None
    ) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._traces_found(experiment_id, size, pages)
        except EndpointNotFound:
            return await self._older_trace_pages(experiment_id, min(size, 500), pages)

    async def _traces_found(
        self, experiment_id: str, size: int, pages: int | None
    ) -> Sequence[Mapping[str, Any]]:
        body = {
            "locations": [
                {
                    "type": "MLFLOW_EXPERIMENT",
                    "mlflow_experiment": {"experiment_id": experiment_id},
                }
            ],
            "max_results": size,
            "order_by": ["timestamp_ms DESC"],
        }
        where = self._where[experiment_id]
        return await self._pages("/api/3.0/mlflow/traces/search", body, where, most=pages)

    async def _older_trace_pages(
        self, experiment_id: str, size: int, most: int | None
    ) -> Sequence[Mapping[str, Any]]:
        """The same of MLflow 2; none before 2.14, which knows no traces."""
        asked = {"experiment_ids": experiment_id, "max_results": size}
        asked["order_by"] = "timestamp_ms DESC"
        found: list[Mapping[str, Any]] = []
        token = ""
        while not found or (token and len(found) != most):
            more = {"page_token": token} if token else {}
            try:
                page = await self._ask(self._server.get, f"{_API}/traces", asked | more)
            except EndpointNotFound:
                return [{}]
            found.append(page)
            token = page.get("next_page_token") or ""
        return found

    async def _buckets(self, fingerprint: Callable[[str], Any]) -> Mapping[Bucket, str]:
        """One bucket an experiment, of those that hold anything."""
        found = {Bucket(each, 0): await fingerprint(each) for each in self._where}
        return {bucket: value for bucket, value in found.items() if value}

    async def _pages(
        self,
        path: str,
        body: Mapping[str, Any],
        workspace: str | None,
        *,
        most: int | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        def read() -> Sequence[Mapping[str, Any]]:
            found = []
            for page in self._server.pages(path, body, workspace):
                found.append(page)
                if len(found) == most:
                    break
            return found

        return await asyncio.to_thread(read)

    async def _ask(self, way: Callable[..., T], *words: Any) -> T:
        return await asyncio.to_thread(way, *words)


class RestAccountDirectory:
    """The users of the basic-auth app, read from its server by one of its admins."""

    def __init__(self, server: MlflowClient) -> None:
        self._server = server

    async def accounts(self) -> Sequence[MlflowAccount] | None:
        """All users by username, each with the workspaces in which a role is assigned."""
        try:
            found = await asyncio.to_thread(self._server.get, f"{_API}/users/list", {})
        except EndpointNotFound:
            return None
        accounts = [
            MlflowAccount(user["username"], frozenset(role["workspace"] for role in user["roles"]))
            for user in found.get("users", [])
        ]
        return sorted(accounts)


def _ids(page: Mapping[str, Any]) -> str:
    return "/".join(
        f"{run['info']['run_id']}@{run['info'].get('end_time', '')}"
        for run in page.get("runs", [])
    )


def _run(info: Mapping[str, Any], tagged: str | None) -> MlflowRun:
    return MlflowRun(
        info["run_id"],
        info["experiment_id"],
        resolve_owner(tagged, info.get("user_id")),
        int(info.get("start_time") or 0),
        int(info["end_time"]) if info.get("end_time") else None,
        info.get("status") in {"RUNNING", "SCHEDULED"},
        info.get("artifact_uri", ""),
    )


def _model(info: Mapping[str, Any], owner_tag: str) -> MlflowModel:
    return MlflowModel(
        info["model_id"],
        info["experiment_id"],
        info.get("source_run_id") or None,
        _tag(info.get("tags", []), owner_tag),
        int(info["creation_timestamp_ms"]),
        int(info["last_updated_timestamp_ms"]),
        info["artifact_uri"],
    )


def _trace(told: Mapping[str, Any]) -> MlflowTrace:
    if "trace_id" in told:
        metadata, at = told.get("trace_metadata", {}), _epoch_ms(told["request_time"])
    else:
        pairs = told.get("request_metadata", [])
        metadata, at = {each["key"]: each["value"] for each in pairs}, int(told["timestamp_ms"])
    user = metadata.get("mlflow.trace.user") or metadata.get(OWNER_TAG) or None
    return MlflowTrace(_trace_id(told), user, at)


def _trace_id(told: Mapping[str, Any]) -> str:
    """What MLflow 2 called a request."""
    return str(told.get("trace_id") or told["request_id"])


def _epoch_ms(written: str) -> int:
    return round(datetime.fromisoformat(written).timestamp() * 1000)


def _tag(tags: Sequence[Mapping[str, str]], key: str) -> str | None:
    return next((tag["value"] for tag in tags if tag["key"] == key), None)
