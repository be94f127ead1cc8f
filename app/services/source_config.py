"""Connections: sources as a file names them, run by a command, or by the service at intervals."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from app.clock import Clock
from app.connectors.mlflow.load_context import ProgressCallback
from app.connectors.mlflow.options import MlflowOptions
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, NotFound
from app.services.mlflow import KIND as MLFLOW
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun, list_sources

_INTERVAL = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class SourceConfig(NamedTuple):
    """A source of a sources file; `every` is None when the service does not run it by itself."""

    name: str
    organization: str
    every: timedelta | None
    options: MlflowOptions


def read_source_configs(file: Path) -> Sequence[SourceConfig]:
    """The sources that a file of TOML names, in its order: a table each, by name.

    Raises:
        InvalidArgument: The file cannot be read, or says something else.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"{file} cannot be read: {error}.") from None
    return [_connection(f"{file}: [{name}]", name, table) for name, table in tables.items()]


def _connection(where: str, name: str, table: Any) -> SourceConfig:
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} must be a table.")
    options = dict(table)
    kind, every = options.pop("kind", None), options.pop("every", None)
    organization = str(options.pop("organization", DEFAULT_ORGANIZATION))
    if kind != MLFLOW:
        raise InvalidArgument(f"{where}: kind must be {MLFLOW!r}; got {kind!r}.")
    try:
        found = msgspec.convert(options, MlflowOptions)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{where}: {error}.") from None
    return SourceConfig(name, organization, _interval(where, every), found)


def _interval(where: str, written: Any) -> timedelta | None:
    if written is None:
        return None
    found = _INTERVAL.fullmatch(str(written))
    if found is None:
        raise InvalidArgument(f"{where}: every must be like 30m, 6h or 1d; got {written!r}.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def find_source_config(connections: Sequence[SourceConfig], name: str) -> SourceConfig:
    """The connection of that name.

    Raises:
        NotFound: There is none.
    """
    for connection in connections:
        if connection.name == name:
            return connection
    names = ", ".join(each.name for each in connections) or "none"
    raise NotFound(f"The sources file has no source {name!r}; it has: {names}.")


async def run_source(
    database: Database, connection: SourceConfig, *, clock: Clock, progress: ProgressCallback
) -> ActiveSourceRun:
    """Run a source once.

    Raises:
        SourceUnavailable: What it reads cannot be read.
        SourceBusy: It is being read already.
    """
    found = await find_organization(database, connection.organization)
    return await import_mlflow(
        database,
        found.organization_id,
        connection.name,
        connection.options,
        clock=clock,
        progress=progress,
    )


async def find_due_sources(
    database: Database, connections: Sequence[SourceConfig], now: datetime
) -> Sequence[SourceConfig]:
    """Those that the service runs by itself and that began last so long ago, or never."""
    due = []
    for connection in connections:
        if connection.every is not None:
            began = (await _began(database, connection.organization)).get(connection.name)
            if began is None or began + connection.every <= now:
                due.append(connection)
    return due


async def _began(database: Database, organization: str) -> Mapping[str, datetime]:
    found = await find_organization(database, organization)
    return {
        source.name: source.last_run.started_at
        for source in await list_sources(database, found.organization_id)
        if source.last_run is not None
    }
