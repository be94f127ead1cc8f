"""A tracking store in SQLite, written without MLflow: the tables and columns that we read.

It can hold what MLflow's client does not write, but other clients do. The tests of real servers
check that the columns are MLflow's.
"""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_WRITTEN = datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp()
_TABLES = """
CREATE TABLE alembic_version (version_num);
INSERT INTO alembic_version VALUES ('dc11669786a5');
CREATE TABLE workspaces (name);
CREATE TABLE experiments (experiment_id INTEGER, name, workspace, creation_time INTEGER,
    last_update_time INTEGER, artifact_location);
CREATE TABLE experiment_tags (experiment_id INTEGER, key, value);
CREATE TABLE runs (run_uuid, experiment_id INTEGER, user_id, start_time INTEGER, end_time INTEGER,
    status, artifact_uri, lifecycle_stage, deleted_time INTEGER);
CREATE TABLE tags (run_uuid, key, value);
CREATE TABLE logged_models (model_id, experiment_id INTEGER, source_run_id,
    creation_timestamp_ms INTEGER, last_updated_timestamp_ms INTEGER, artifact_location,
    lifecycle_stage);
CREATE TABLE logged_model_tags (model_id, tag_key, tag_value);
CREATE TABLE model_versions (name, version INTEGER, storage_location, source);
CREATE TABLE trace_info (request_id, experiment_id INTEGER, timestamp_ms INTEGER);
CREATE TABLE trace_request_metadata (request_id, key, value);
"""
_AUTH_TABLES = """
CREATE TABLE alembic_version_auth (version_num);
INSERT INTO alembic_version_auth VALUES ('f1a2b3c4d5e6');
CREATE TABLE users (id INTEGER PRIMARY KEY, username);
CREATE TABLE roles (id INTEGER PRIMARY KEY, workspace);
CREATE TABLE user_role_assignments (user_id INTEGER, role_id INTEGER);
"""


class MlflowTables:
    """A tracking store, a folder of artifacts and the accounts of the basic-auth app.

    Args:
        folder: An empty folder for all three.
    """

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder}/mlflow.db"
        self.auth_store = f"sqlite:///{folder}/auth.db"
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir()
        self._store, self._auth_store = folder / "mlflow.db", folder / "auth.db"
        for file, tables in ((self._store, _TABLES), (self._auth_store, _AUTH_TABLES)):
            with closing(sqlite3.connect(file)) as connection:
                connection.executescript(tables)

    def execute(self, statement: str, *values: Any) -> None:
        """Change the tracking store."""
        with closing(sqlite3.connect(self._store)) as connection, connection:
            connection.execute(statement, values)

    def execute_auth(self, statement: str, *values: Any) -> None:
        """Change the accounts."""
        with closing(sqlite3.connect(self._auth_store)) as connection, connection:
            connection.execute(statement, values)

    def add_experiment(
        self, experiment_id: int, name: str, created_ms: int, workspace: str = "default"
    ) -> None:
        location = f"{self.artifacts}/{experiment_id}"
        self.execute(
            "INSERT INTO experiments VALUES (?, ?, ?, ?, ?, ?)",
            *(experiment_id, name, workspace, created_ms, created_ms, location),
        )

    def add_run(
        self,
        run_id: str,
        experiment_id: int,
        started_ms: int | None,
        user: str = "ann",
        *,
        ended_ms: int | None = None,
        size_bytes: int = 0,
    ) -> None:
        """Add a run, with a file of that size unless it is 0."""
        folder = self.artifacts / str(experiment_id) / run_id / "artifacts"
        status = "RUNNING" if ended_ms is None else "FINISHED"
        self.execute(
            "INSERT INTO runs VALUES (?, ?, '', ?, ?, ?, ?, 'active', NULL)",
            *(run_id, experiment_id, started_ms, ended_ms, status, str(folder)),
        )
        self.execute("INSERT INTO tags VALUES (?, 'mlflow.user', ?)", run_id, user)
        if size_bytes:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "a.bin").write_bytes(b"x" * size_bytes)
            os.utime(folder / "a.bin", (_WRITTEN, _WRITTEN))
