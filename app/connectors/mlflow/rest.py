"""Read a tracking store and the accounts of the basic-auth app over REST.

The API offers less than the database: no deletion times, and no aggregates over runs. So a bucket
is a whole experiment, and its fingerprint comes from a few small requests. A run that is logged
with an earlier start and end than existing runs is read only when another run changes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from app.connectors.mlflow.http_client import EndpointNotFound, MlflowClient
from app.connectors.mlflow.records import (
    ALL,
    DEFAULT_WORKSPACE,
    OWNER_TAG,
    Bucket,
    MlflowAccount,
    MlflowExperiment,
    MlflowModel,
    MlflowModelVersion,
    MlflowRun,
    MlflowTrace,
    parse_time,
    resolve_user,
)
from app.domain.json_types import JsonObject

T = TypeVar("T")

_PAGE_SIZE = 1_000
_API = "/api/2.0/mlflow"


class RestStore:
    """A tracking store, read from its server.

    Args:
        server: A client for the server.
        tags: The experiment tags that the workspace rule needs.
        owner_tag: The tag of a run that names its owner; it has precedence over `user_id`.
    """

    def __init__(
        self, server: MlflowClient, *, tags: Sequence[str], owner_tag: str = OWNER_TAG
    ) -> None:
        self._server = server
        self._tags = frozenset(tags)
        self._owner_tag = owner_tag
        self._workspaces: dict[str, str | None] = {}
        """The workspace of each experiment; a request sees only one workspace."""

    async def workspaces(self) -> Sequence[str]:
        """Return the names of all workspaces; empty if the feature is off."""
        try:
            server_info = await self._call(self._server.get, "/api/3.0/mlflow/server-info", {})
        except EndpointNotFound:
            # Servers before 3.10 have neither this endpoint nor workspaces.
            return []
        if not server_info.get("workspaces_enabled"):
            return []
        content = await self._call(self._server.get, "/api/3.0/mlflow/workspaces", {})
        return sorted(each["name"] for each in content.get("workspaces", []))

    async def experiments(self) -> Sequence[MlflowExperiment]:
        """Return all experiments, including deleted ones, sorted by id."""
        found: list[MlflowExperiment] = []
        workspaces: Sequence[str | None] = await self.workspaces() or [None]
        for workspace in workspaces:
            body = {"max_results": _PAGE_SIZE, "view_type": "ALL"}
            for page in await self._read_pages(f"{_API}/experiments/search", body, workspace):
                for each in page.get("experiments", []):
                    self._workspaces[each["experiment_id"]] = workspace
                    found.append(self._to_experiment(each, workspace))
        return sorted(found, key=lambda each: int(each.experiment_id))

    def _to_experiment(self, content: JsonObject, workspace: str | None) -> MlflowExperiment:
        return MlflowExperiment(
            content["experiment_id"],
            content["name"],
            workspace or content.get("workspace") or DEFAULT_WORKSPACE,
            content.get("creation_time"),
            content.get("last_update_time"),
            content.get("artifact_location", ""),
            {
                tag["key"]: tag["value"]
                for tag in content.get("tags", [])
                if tag["key"] in self._tags
            },
        )

    async def run_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of experiments: their latest start and end, and deleted runs."""
        return await self._read_buckets(self._fingerprint_runs)

    async def _fingerprint_runs(self, experiment_id: str) -> str:
        latest = [
            _format_run_ids(page)
            for order in ("start_time DESC", "end_time DESC")
            for page in [await self._find_latest_run(experiment_id, order)]
        ]
        deleted = [
            run["info"]["run_id"] for run in await self._search_runs(experiment_id, "DELETED_ONLY")
        ]
        return "/".join([*latest, *sorted(deleted)]) if any(latest) or deleted else ""

    async def _find_latest_run(self, experiment_id: str, order: str) -> JsonObject:
        body = {
            "experiment_ids": [experiment_id],
            "max_results": 1,
            "run_view_type": "ALL",
            "order_by": [order],
        }
        workspace = self._workspaces[experiment_id]
        return await self._call(self._server.post, f"{_API}/runs/search", body, workspace)

    async def _search_runs(self, experiment_id: str, view: str) -> Sequence[JsonObject]:
        body = {
            "experiment_ids": [experiment_id],
            "max_results": _PAGE_SIZE,
            "run_view_type": view,
        }
        pages = await self._read_pages(
            f"{_API}/runs/search", body, self._workspaces[experiment_id]
        )
        return [run for page in pages for run in page.get("runs", [])]

    async def runs(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowRun]]:
        """Yield all runs of the experiment, including deleted ones; a bucket holds all runs."""
        del buckets
        yield [
            _to_run(each["info"], _find_tag(each.get("data", {}).get("tags", []), self._owner_tag))
            for each in await self._search_runs(experiment_id, "ALL")
        ]

    async def model_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of logged models by experiment: their ids and last updates."""

        async def fingerprint(experiment_id: str) -> str:
            models = await self.models(experiment_id)
            return "/".join(f"{model.model_id}@{model.updated_ms}" for model in models)

        return await self._read_buckets(fingerprint)

    async def models(self, experiment_id: str) -> Sequence[MlflowModel]:
        """Return the logged models of an experiment, sorted by id, without deleted ones."""
        try:
            pages = await self._read_pages(
                f"{_API}/logged-models/search",
                {"experiment_ids": [experiment_id], "max_results": 50},
                self._workspaces[experiment_id],
            )
        except EndpointNotFound:
            # In MLflow 2, models are artifacts of their runs.
            return []
        found = [
            _to_model(each["info"], self._owner_tag)
            for page in pages
            for each in page.get("models", [])
        ]
        return sorted(found, key=lambda model: model.model_id)

    async def model_versions(self) -> Sequence[MlflowModelVersion]:
        """Return all versions of all registered models."""
        found: list[MlflowModelVersion] = []
        for workspace in dict.fromkeys(self._workspaces.values()):
            token = ""
            while True:
                parameters = {"max_results": _PAGE_SIZE} | ({"page_token": token} if token else {})
                page = await self._call(
                    self._server.get, f"{_API}/model-versions/search", parameters, workspace
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
        """Return the fingerprints of traces by experiment: the latest trace."""

        async def fingerprint(experiment_id: str) -> str:
            (page,) = await self._read_trace_pages(experiment_id, 1, pages=1)
            return "/".join(map(_trace_id, page.get("traces", [])))

        return await self._read_buckets(fingerprint)

    async def traces(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowTrace]]:
        """Yield all traces of the experiment."""
        del buckets
        for page in await self._read_trace_pages(experiment_id, 500, pages=None):
            yield [_to_trace(each) for each in page.get("traces", [])]

    async def _read_trace_pages(
        self, experiment_id: str, size: int, *, pages: int | None
    ) -> Sequence[JsonObject]:
        try:
            return await self._search_traces(experiment_id, size, pages)
        except EndpointNotFound:
            return await self._read_trace_pages_v2(experiment_id, min(size, 500), pages)

    async def _search_traces(
        self, experiment_id: str, size: int, pages: int | None
    ) -> Sequence[JsonObject]:
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
        workspace = self._workspaces[experiment_id]
        return await self._read_pages(
            "/api/3.0/mlflow/traces/search", body, workspace, limit=pages
        )

    async def _read_trace_pages_v2(
        self, experiment_id: str, size: int, limit: int | None
    ) -> Sequence[JsonObject]:
        """Read traces from MLflow 2; empty before 2.14, which has no traces."""
        parameters = {"experiment_ids": experiment_id, "max_results": size}
        parameters["order_by"] = "timestamp_ms DESC"
        found: list[JsonObject] = []
        token = ""
        while not found or (token and len(found) != limit):
            more = {"page_token": token} if token else {}
            try:
                page = await self._call(self._server.get, f"{_API}/traces", parameters | more)
            except EndpointNotFound:
                return [{}]
            found.append(page)
            token = page.get("next_page_token") or ""
        return found

    async def _read_buckets(self, fingerprint: Callable[[str], Any]) -> Mapping[Bucket, str]:
        """Return one bucket per experiment, without empty ones."""
        found = {Bucket(each, ALL): await fingerprint(each) for each in self._workspaces}
        return {bucket: value for bucket, value in found.items() if value}

    async def _read_pages(
        self,
        path: str,
        body: JsonObject,
        workspace: str | None,
        *,
        limit: int | None = None,
    ) -> Sequence[JsonObject]:
        def read() -> Sequence[JsonObject]:
            found = []
            for page in self._server.post_pages(path, body, workspace):
                found.append(page)
                if len(found) == limit:
                    break
            return found

        return await asyncio.to_thread(read)

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.to_thread(function, *arguments)


class RestAccountDirectory:
    """The accounts of the basic-auth app, read over REST with the credentials of an admin."""

    def __init__(self, server: MlflowClient) -> None:
        self._server = server

    async def accounts(self) -> Sequence[MlflowAccount] | None:
        """Return all accounts by username, with the workspaces in which they have a role."""
        try:
            content = await asyncio.to_thread(self._server.get, f"{_API}/users/list", {})
        except EndpointNotFound:
            return None
        accounts = [
            MlflowAccount(user["username"], frozenset(role["workspace"] for role in user["roles"]))
            for user in content.get("users", [])
        ]
        return sorted(accounts)


def _format_run_ids(page: JsonObject) -> str:
    return "/".join(
        f"{run['info']['run_id']}@{run['info'].get('end_time', '')}"
        for run in page.get("runs", [])
    )


def _to_run(info: JsonObject, owner_tag: str | None) -> MlflowRun:
    return MlflowRun(
        info["run_id"],
        info["experiment_id"],
        resolve_user(owner_tag, info.get("user_id")),
        parse_time(info.get("start_time")),
        parse_time(info.get("end_time")),
        info.get("status") in {"RUNNING", "SCHEDULED"},
        info.get("artifact_uri", ""),
    )


def _to_model(info: JsonObject, owner_tag: str) -> MlflowModel:
    return MlflowModel(
        info["model_id"],
        info["experiment_id"],
        info.get("source_run_id") or None,
        resolve_user(_find_tag(info.get("tags", []), owner_tag)),
        int(info["creation_timestamp_ms"]),
        int(info["last_updated_timestamp_ms"]),
        info["artifact_uri"],
    )


def _to_trace(content: JsonObject) -> MlflowTrace:
    if "trace_id" in content:
        metadata, at = content.get("trace_metadata", {}), _parse_epoch_ms(content["request_time"])
    else:
        pairs = content.get("request_metadata", [])
        metadata, at = {each["key"]: each["value"] for each in pairs}, int(content["timestamp_ms"])
    user = resolve_user(metadata.get("mlflow.trace.user"), metadata.get(OWNER_TAG))
    return MlflowTrace(_trace_id(content), user, parse_time(at))


def _trace_id(content: JsonObject) -> str:
    """Return the id of a trace; MLflow 2 calls it the request id."""
    return str(content.get("trace_id") or content["request_id"])


def _parse_epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _find_tag(tags: Sequence[Mapping[str, str]], key: str) -> str | None:
    return next((tag["value"] for tag in tags if tag["key"] == key), None)
