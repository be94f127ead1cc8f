"""The sources file: read the configured sources, run them, and find those that are due."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.clock import Clock
from app.connectors.mlflow.load_context import ProgressCallback
from app.connectors.mlflow.options import MlflowOptions
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, NotFound
from app.domain.validation_messages import describe_validation_error
from app.services.mlflow import KIND as MLFLOW
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun, list_sources

_INTERVAL = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class SourceConfig(NamedTuple):
    """A configured source. The service runs it at the interval `every`; None means never."""

    name: str
    organization: str
    every: timedelta | None
    options: MlflowOptions


def read_source_configs(file: Path) -> Sequence[SourceConfig]:
    """Read a TOML file with one table per source, in the order of the file.

    Raises:
        InvalidArgument: The file cannot be read, or an entry is invalid.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"{file} cannot be read: {error}.") from None
    return [_parse_source(f"{file}: [{name}]", name, table) for name, table in tables.items()]


def _parse_source(where: str, name: str, table: object) -> SourceConfig:
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} must be a table.")
    options = dict(table)
    kind, every = options.pop("kind", None), options.pop("every", None)
    organization = str(options.pop("organization", DEFAULT_ORGANIZATION))
    if kind != MLFLOW:
        raise InvalidArgument(f"{where}: kind must be {MLFLOW!r}; got {kind!r}.")
    try:
        parsed = msgspec.convert(options, MlflowOptions)
    except msgspec.ValidationError as error:
        problem = describe_validation_error(error, options)
        raise InvalidArgument(f"{where}: {problem}.") from None
    return SourceConfig(name, organization, _parse_interval(where, every), parsed)


def _parse_interval(where: str, text: object) -> timedelta | None:
    if text is None:
        return None
    match = _INTERVAL.fullmatch(str(text))
    if match is None:
        raise InvalidArgument(f"{where}: every must be like 30m, 6h or 1d; got {text!r}.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def find_source_config(sources: Sequence[SourceConfig], name: str) -> SourceConfig:
    """Return the source of that name.

    Raises:
        NotFound: The file has no such source.
    """
    for source in sources:
        if source.name == name:
            return source
    names = ", ".join(each.name for each in sources) or "none"
    raise NotFound(f"The sources file has no source {name!r}; it has: {names}.")


async def run_source(
    database: Database, source: SourceConfig, *, clock: Clock, progress: ProgressCallback
) -> ActiveSourceRun:
    """Run a source once.

    Raises:
        SourceUnavailable: The platform cannot be read.
        SourceBusy: Another run of the source is in progress.
    """
    found = await find_organization(database, source.organization)
    return await import_mlflow(
        database,
        found.organization_id,
        source.name,
        source.options,
        clock=clock,
        progress=progress,
    )


async def find_due_sources(
    database: Database, sources: Sequence[SourceConfig], now: datetime
) -> Sequence[SourceConfig]:
    """Return the scheduled sources whose last run began at least one interval ago, or never."""
    due = []
    for source in sources:
        if source.every is not None:
            started = (await _last_starts(database, source.organization)).get(source.name)
            if started is None or started + source.every <= now:
                due.append(source)
    return due


async def _last_starts(database: Database, organization: str) -> Mapping[str, datetime]:
    found = await find_organization(database, organization)
    return {
        state.name: state.last_run.started_at
        for state in await list_sources(database, found.organization_id)
        if state.last_run is not None
    }
