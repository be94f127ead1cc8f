"""`chargeback sources`: what is connected, what it brought, what it could not place and why."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from app.cli.mlflow import print_brought, shown_progress
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.clock import system_clock
from app.console import stderr, stdout
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, InvalidArgument
from app.domain.sources import RunOutcome
from app.server.store import run_with_store
from app.services.organizations import find_organization
from app.services.source_config import (
    SourceConfig,
    find_source_config,
    read_source_configs,
    run_source,
)
from app.services.sources import SourceRunState, list_source_runs, list_sources
from app.settings import Settings

sources = typer.Typer(help="What is connected: list, show, run.")


@sources.callback(invoke_without_command=True)
def list_connected(
    context: typer.Context,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List what is connected: when it last ran, what it brought, what it could not place."""
    if context.invoked_subcommand is None:
        run_with_store(
            data_dir, env_file, lambda database, _: print_sources(database, organization)
        )


@sources.command("show")
def show_source(
    name: Annotated[str, typer.Argument(help="The source.")],
    first: Annotated[int, typer.Option(help="How many runs of it.", min=1, max=400)] = 20,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List the last runs of a source, and what the last one skipped."""
    run_with_store(
        data_dir, env_file, lambda database, _: print_runs(database, organization, name, first)
    )


@sources.command("run")
def run_sources(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sources of SOURCES_FILE; without any, all.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Run sources of SOURCES_FILE once, one after the other."""

    async def command(database: Database, settings: Settings) -> None:
        known = configured(settings)
        await _run(database, [find_source_config(known, name) for name in names or []] or known)

    run_with_store(data_dir, env_file, command)


def configured(settings: Settings) -> Sequence[SourceConfig]:
    """The sources of SOURCES_FILE.

    Raises:
        InvalidArgument: There is no such file, or it says something else.
    """
    if settings.sources_file is None:
        raise InvalidArgument("SOURCES_FILE is not set: it names the file that lists the sources.")
    return read_source_configs(settings.sources_file)


class SourcesFailed(ChargebackError):
    """Some sources of several could not be read; the others were."""

    code, status = "SOURCE_UNAVAILABLE", 502


async def _run(database: Database, connections: Sequence[SourceConfig]) -> None:
    """One that fails does not keep the others from running."""
    failed = []
    for connection in connections:
        try:
            with shown_progress() as told:
                run = await run_source(database, connection, clock=system_clock, progress=told)
            print_brought(connection.name, run)
        except ChargebackError as error:
            stderr.print(f"{connection.name}: {error}", markup=False, highlight=False)
            failed.append(connection.name)
    if failed:
        raise SourcesFailed(f"{len(failed)} of {len(connections)} failed: {', '.join(failed)}.")


async def print_sources(database: Database, organization: str) -> None:
    """Print the sources by name, each with its last run, then what those skipped."""
    found = await find_organization(database, organization)
    sources = await list_sources(database, found.organization_id)
    table = Table("Source", "Kind", *_RUN)
    for source in sources:
        table.add_row(source.name, source.kind, *_cells(source.last_run))
    stdout.print(table)
    for source in sources:
        if source.last_run is not None:
            _print_skipped(source.name, source.last_run)


async def print_runs(database: Database, organization: str, name: str, first: int) -> None:
    """Print the last runs of a source, then what the last one skipped."""
    found = await find_organization(database, organization)
    runs = await list_source_runs(database, found.organization_id, name, first)
    table = Table("Run", *_RUN)
    for run in runs:
        table.add_row(str(run.number), *_cells(run))
    stdout.print(table)
    _print_skipped(name, runs[0])


_RUN = ("Started", "Finished", "Outcome", "Accepted", "Duplicates", "Skipped")


def _cells(run: SourceRunState | None) -> list[str]:
    if run is None:
        return [""] * len(_RUN)
    finished = f"{run.finished_at:%Y-%m-%d %H:%M}" if run.finished_at else ""
    counts = (run.accepted, run.duplicates, run.skipped_count)
    outcome = run.outcome.lower()
    return [f"{run.started_at:%Y-%m-%d %H:%M}", finished, outcome, *map(str, counts)]


def _print_skipped(name: str, run: SourceRunState) -> None:
    if run.outcome is RunOutcome.FAILED:
        _print(f"{name}: failed: {run.error}")
    for skipped in run.skipped:
        _print(f"{name}: {skipped.item}: {skipped.reason}")
    if more := run.skipped_count - len(run.skipped):
        _print(f"{name}: and {more} more")


def _print(line: str) -> None:
    stdout.print(line, markup=False, highlight=False)
