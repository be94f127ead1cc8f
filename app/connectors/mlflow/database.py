"""Read a tracking store and the accounts of the basic-auth app from their databases.

The statements run unchanged on PostgreSQL, MySQL and SQLite.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.connectors.mlflow.records import (
    ALL,
    DAY_MS,
    DEFAULT_WORKSPACE,
    EARLIEST_MS,
    HOUR_MS,
    OWNER_TAG,
    UNDATED,
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
from app.db.external_database import ExternalDatabase
from app.domain.errors import SourceUnavailable

TESTED_STORES = {"0584bdc529eb": "2.22", "bda7b8c39065": "3.1", "dc11669786a5": "3.17"}
"""MLflow versions by the `alembic_version` of tracking stores that the tests cover."""
TESTED_AUTH = {"8606fa83a998": "2.22 and 3.1", "f1a2b3c4d5e6": "3.17"}
"""MLflow versions by the `alembic_version_auth` of basic-auth databases that the tests cover."""
_PAGE_SIZE = 2_000


class DatabaseStore:
    """A tracking store, read from its database.

    Args:
        database: MLflow's backend store.
        tags: The experiment tags that the workspace rule needs.
        owner_tag: The tag of a run that names its owner; it has precedence over `user_id`.
    """

    def __init__(
        self, database: ExternalDatabase, *, tags: Sequence[str], owner_tag: str = OWNER_TAG
    ) -> None:
        self._database = database
        # `key` is a reserved word in MySQL. The empty tag avoids `IN ()`, which is not valid SQL.
        self._key = database.quote_name("key")
        self._tags = [*tags, ""]
        self._owner_tag = owner_tag
        self._tables: frozenset[str] = frozenset()

    async def check(self, *, untested: bool) -> None:
        """Reject databases of untested MLflow versions.

        Raises:
            SourceUnavailable: The database is not a tracking store, or its version is untested.
        """
        self._tables = await self._database.list_tables()
        await _check_version(self._database, "alembic_version", TESTED_STORES, untested=untested)

    async def workspaces(self) -> Sequence[str]:
        """Return the names of all workspaces, whether the feature is on or off."""
        if "workspaces" not in self._tables:
            return []
        rows = await self._database.fetch_rows("SELECT name FROM workspaces ORDER BY name")
        return [row.name for row in rows]

    async def experiments(self) -> Sequence[MlflowExperiment]:
        """Return all experiments, including deleted ones, sorted by id."""
        tags: dict[str, dict[str, str]] = {}
        for row in await self._database.fetch_rows(
            f"SELECT experiment_id, {self._key} AS tag, value "  # noqa: S608  a constant
            f"FROM experiment_tags WHERE {self._key} IN :tags",
            {"tags": self._tags},
        ):
            tags.setdefault(str(row.experiment_id), {})[row.tag] = row.value or ""
        workspace = "workspace" if "workspaces" in self._tables else "NULL AS workspace"
        rows = await self._database.fetch_rows(
            f"SELECT experiment_id, name, {workspace}, creation_time, "  # noqa: S608  constants
            "last_update_time, artifact_location FROM experiments ORDER BY experiment_id"
        )
        return [
            MlflowExperiment(
                str(row.experiment_id),
                row.name,
                row.workspace or DEFAULT_WORKSPACE,
                row.creation_time,
                row.last_update_time,
                row.artifact_location or "",
                tags.get(str(row.experiment_id), {}),
            )
            for row in rows
        ]

    async def run_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of all runs by experiment and day: one statement, few rows."""
        return await self._read_buckets(
            f"SELECT experiment_id, {_format_bucket('start_time', DAY_MS)} AS bucket, "  # noqa: S608  constants
            "count(*) AS c1, sum(coalesce(start_time, 0)) AS c2, "
            "sum(coalesce(end_time, 0)) AS c3, sum(coalesce(deleted_time, 0)) AS c4, "
            "sum(CASE WHEN lifecycle_stage = 'deleted' THEN 1 ELSE 0 END) AS c5 "
            "FROM runs GROUP BY experiment_id, bucket"
        )

    async def runs(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowRun]]:
        """Yield the runs in these buckets, page by page."""
        columns = ", experiment_id, user_id, end_time, status, artifact_uri"
        async for rows in self._read_bucket_pages(
            "runs", "run_uuid", "start_time", columns, experiment_id, buckets, DAY_MS
        ):
            owners = await self._read_tag("tags", "run_uuid", self._owner_tag, rows)
            yield [_to_run(row, owners.get(row.id)) for row in rows]

    async def model_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of all logged models, one bucket per experiment.

        Empty in MLflow 2, which has no logged models.
        """
        if "logged_models" not in self._tables:
            return {}
        return await self._read_buckets(
            f"SELECT experiment_id, {ALL} AS bucket, count(*) AS c1, "  # noqa: S608  a constant
            "sum(last_updated_timestamp_ms) AS c2, sum(creation_timestamp_ms) AS c3, 0 AS c4, "
            "sum(CASE WHEN lifecycle_stage = 'deleted' THEN 1 ELSE 0 END) AS c5 "
            "FROM logged_models GROUP BY experiment_id"
        )

    async def models(self, experiment_id: str) -> Sequence[MlflowModel]:
        """Return the logged models of an experiment, sorted by id."""
        rows = await self._database.fetch_rows(
            "SELECT model_id AS id, source_run_id, creation_timestamp_ms, "
            "last_updated_timestamp_ms, artifact_location FROM logged_models "
            "WHERE experiment_id = :experiment_id ORDER BY model_id",
            {"experiment_id": int(experiment_id)},
        )
        owners = await self._read_tag("logged_model_tags", "model_id", self._owner_tag, rows)
        return [
            MlflowModel(
                row.id,
                experiment_id,
                row.source_run_id or None,
                resolve_user(owners.get(row.id)),
                row.creation_timestamp_ms,
                row.last_updated_timestamp_ms,
                row.artifact_location,
            )
            for row in rows
        ]

    async def model_versions(self) -> Sequence[MlflowModelVersion]:
        """Return all versions of all registered models."""
        rows = await self._database.fetch_rows(
            "SELECT name, version, coalesce(storage_location, source, '') AS location "
            "FROM model_versions ORDER BY name, version"
        )
        return [MlflowModelVersion(row.name, row.version, row.location) for row in rows]

    async def trace_buckets(self) -> Mapping[Bucket, str]:
        """Return the fingerprints of traces by experiment and hour; empty before MLflow 2.14."""
        if "trace_info" not in self._tables:
            return {}
        return await self._read_buckets(
            f"SELECT experiment_id, {_format_bucket('timestamp_ms', HOUR_MS)} AS bucket, "  # noqa: S608  constants
            "count(*) AS c1, sum(timestamp_ms) AS c2, 0 AS c3, 0 AS c4, 0 AS c5 "
            "FROM trace_info GROUP BY experiment_id, bucket"
        )

    async def traces(
        self, experiment_id: str, buckets: Sequence[int]
    ) -> AsyncIterator[Sequence[MlflowTrace]]:
        """Yield the traces in these buckets, page by page."""
        async for rows in self._read_bucket_pages(
            "trace_info", "request_id", "timestamp_ms", "", experiment_id, buckets, HOUR_MS
        ):
            table = "trace_request_metadata"
            users = await self._read_tag(table, "request_id", "mlflow.trace.user", rows)
            owners = await self._read_tag(table, "request_id", OWNER_TAG, rows)
            yield [
                MlflowTrace(
                    row.id,
                    resolve_user(users.get(row.id), owners.get(row.id)),
                    parse_time(row.at_),
                )
                for row in rows
            ]

    async def _read_buckets(self, statement: str) -> Mapping[Bucket, str]:
        rows = await self._database.fetch_rows(statement)
        return {
            Bucket(str(row.experiment_id), int(row.bucket)): "/".join(
                str(int(part)) for part in (row.c1, row.c2, row.c3, row.c4, row.c5)
            )
            for row in rows
        }

    async def _read_bucket_pages(
        self,
        table: str,
        id_column: str,
        time_column: str,
        columns: str,
        experiment_id: str,
        buckets: Sequence[int],
        width_ms: int,
    ) -> AsyncIterator[Sequence[Any]]:
        """Yield the rows of these buckets page by page, with their ids and times (`id`, `at_`)."""
        selected = f"{id_column} AS id, {time_column} AS at_{columns}"
        experiment = {"experiment_id": int(experiment_id)}
        undated = f"({time_column} IS NULL OR {time_column} < {EARLIEST_MS})"
        if UNDATED in buckets:
            statement = (
                f"SELECT {selected} FROM {table} "  # noqa: S608  constants
                f"WHERE experiment_id = :experiment_id AND {undated} "
                f"AND {id_column} > :after_id ORDER BY {id_column} LIMIT :page"
            )
            async for rows in self._read_pages(statement, experiment):
                yield rows
        statement = (
            f"SELECT {selected} FROM {table} "  # noqa: S608  constants
            "WHERE experiment_id = :experiment_id "
            f"AND {time_column} >= :start AND {time_column} < :end_ AND ({time_column} > :after "
            f"OR ({time_column} = :after AND {id_column} > :after_id)) "
            f"ORDER BY {time_column}, {id_column} LIMIT :page"
        )
        dated = [start for start in buckets if start >= EARLIEST_MS]
        for start, end in _merge_buckets(dated, width_ms):
            span = experiment | {"start": start, "end_": end, "after": start - 1}
            async for rows in self._read_pages(statement, span):
                yield rows

    async def _read_pages(
        self, statement: str, parameters: dict[str, int]
    ) -> AsyncIterator[Sequence[Any]]:
        last: dict[str, int | str] = {"after_id": ""}
        while rows := await self._database.fetch_rows(
            statement, parameters | last | {"page": _PAGE_SIZE}
        ):
            yield rows
            if len(rows) < _PAGE_SIZE:
                return
            last = {"after_id": rows[-1].id}
            if "after" in parameters:
                last["after"] = rows[-1].at_

    async def _read_tag(
        self, table: str, key: str, tag: str, rows: Sequence[Any]
    ) -> dict[str, str]:
        """Return the values of a tag by the rows' ids, without empty values."""
        name, value = self._key, "value"
        if table == "logged_model_tags":
            name, value = "tag_key", "tag_value"
        tags = await self._database.fetch_rows(
            f"SELECT {key} AS id, {value} AS value FROM {table} "  # noqa: S608  constants
            f"WHERE {key} IN :ids AND {name} = :tag",
            {"ids": [row.id for row in rows] or [""], "tag": tag},
        )
        return {row.id: row.value for row in tags if row.value}


def _to_run(row: Any, owner_tag: str | None) -> MlflowRun:
    return MlflowRun(
        row.id,
        str(row.experiment_id),
        resolve_user(owner_tag, row.user_id),
        parse_time(row.at_),
        parse_time(row.end_time),
        row.status in {"RUNNING", "SCHEDULED"},
        row.artifact_uri or "",
    )


class DatabaseAccountDirectory:
    """The accounts of the basic-auth app, read from its database."""

    def __init__(self, database: ExternalDatabase) -> None:
        self._database = database

    async def check(self, *, untested: bool) -> None:
        """Reject databases of untested MLflow versions.

        Raises:
            SourceUnavailable: The database is not a basic-auth database, or its version is
                untested.
        """
        # Before MLflow 3 the table had the same name as in the tracking store.
        names = ("alembic_version_auth", "alembic_version")
        tables = await self._database.list_tables()
        table = next((name for name in names if name in tables), names[0])
        await _check_version(self._database, table, TESTED_AUTH, untested=untested)

    async def accounts(self) -> Sequence[MlflowAccount]:
        """Return all accounts by username, with their roles, or permissions in older versions."""
        if "roles" not in await self._database.list_tables():
            return await self._accounts_without_roles()
        rows = await self._database.fetch_rows(
            "SELECT users.username, roles.workspace AS allowed FROM users "
            "LEFT JOIN user_role_assignments ON user_role_assignments.user_id = users.id "
            "LEFT JOIN roles ON roles.id = user_role_assignments.role_id "
            "ORDER BY users.username"
        )
        return [
            MlflowAccount(username, workspaces=allowed)
            for username, allowed in _group_by_user(rows)
        ]

    async def _accounts_without_roles(self) -> Sequence[MlflowAccount]:
        """Return the accounts with their permissions, in versions of MLflow without roles.

        MLflow grants the creator of an experiment a permission for it.
        """
        rows = await self._database.fetch_rows(
            "SELECT users.username, permitted.experiment_id AS allowed FROM users "
            "LEFT JOIN experiment_permissions AS permitted ON permitted.user_id = users.id "
            "AND permitted.permission <> 'NO_PERMISSIONS' ORDER BY users.username"
        )
        return [
            MlflowAccount(username, experiments=allowed)
            for username, allowed in _group_by_user(rows)
        ]


def _group_by_user(rows: Iterable[Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """Return the set of `allowed` values of each user, in the order of the rows."""
    by_user: dict[str, set[str]] = {}
    for row in rows:
        allowed = by_user.setdefault(row.username, set())
        if row.allowed is not None:
            allowed.add(str(row.allowed))
    return ((username, frozenset(allowed)) for username, allowed in by_user.items())


async def _check_version(
    database: ExternalDatabase, table: str, tested: Mapping[str, str], *, untested: bool
) -> None:
    if table not in await database.list_tables():
        raise SourceUnavailable(
            f"{database.display_url} has no table {table}, so it is not an MLflow database."
        )
    found = {
        row.version_num
        for row in await database.fetch_rows(
            f"SELECT version_num FROM {table}"  # noqa: S608  one of two constants
        )
    }
    if not found & set(tested) and not untested:
        versions = ", ".join(f"{name} (MLflow {version})" for name, version in tested.items())
        raise SourceUnavailable(
            f"{database.display_url}: {table} is {', '.join(sorted(found)) or 'empty'}; tested "
            f"versions are {versions}. Use --untested-version to read it anyway, or read MLflow "
            "over REST."
        )


def _format_bucket(column: str, width_ms: int) -> str:
    """Return the SQL expression for the bucket of a row."""
    start = f"{column} - {column} % {width_ms}"
    return f"CASE WHEN {column} >= {EARLIEST_MS} THEN {start} ELSE {UNDATED} END"


def _merge_buckets(buckets: Sequence[int], width_ms: int) -> Sequence[tuple[int, int]]:
    """Merge adjacent buckets into spans, each of which is read at once."""
    spans: list[tuple[int, int]] = []
    for start in sorted(buckets):
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + width_ms)
        else:
            spans.append((start, start + width_ms))
    return spans
