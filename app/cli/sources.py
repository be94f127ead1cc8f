"""`chargeback sources`: list sources, show their runs and skipped items, run them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.mlflow import print_result, show_progress
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import print_table
from app.clock import system_clock
from app.console import print_error, print_line
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

sources = command_group("List, show and run sources, such as an MLflow server.")


@command(sources, "list", examples=["sources list"])
def list_(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List the sources, each with its last run and what that run skipped."""
    run_with_store(data_dir, env_file, lambda database, _: _print_sources(database, organization))


@command(sources, "show", examples=["sources show tracking --first 5"])
def show(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="The source.")],
    first: Annotated[
        int, typer.Option(metavar="N", help="Number of runs, latest first.", min=1, max=400)
    ] = 20,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Show the last runs of a source, and what the latest run skipped."""
    run_with_store(
        data_dir, env_file, lambda database, _: _print_runs(database, organization, name, first)
    )


@command(sources, "run", examples=["sources run", "sources run tracking"])
def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Sources of SOURCES_FILE. Default: all."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Run sources of SOURCES_FILE once, one after the other."""

    async def run_all(database: Database, settings: Settings) -> None:
        configured = _read_sources_file(settings)
        chosen = [find_source_config(configured, name) for name in names or []]
        await _run(database, chosen or configured)

    run_with_store(data_dir, env_file, run_all)


def _read_sources_file(settings: Settings) -> Sequence[SourceConfig]:
    if settings.sources_file is None:
        raise InvalidArgument(
            "SOURCES_FILE is not set: set it to the file that lists the sources."
        )
    return read_source_configs(settings.sources_file)


class SourcesFailed(ChargebackError):
    """Some of the sources could not be read; the others were."""

    code, status = "SOURCE_UNAVAILABLE", 502


async def _run(database: Database, connections: Sequence[SourceConfig]) -> None:
    """Run sources one after the other; a failure does not stop the rest."""
    failed = []
    for connection in connections:
        try:
            with show_progress() as on_progress:
                result = await run_source(
                    database, connection, clock=system_clock, progress=on_progress
                )
            print_result(connection.name, result)
        except ChargebackError as error:
            print_error(f"{connection.name}: {error}")
            failed.append(connection.name)
    if failed:
        raise SourcesFailed(f"{len(failed)} of {len(connections)} failed: {', '.join(failed)}.")


async def _print_sources(database: Database, organization: str) -> None:
    found = await find_organization(database, organization)
    sources = await list_sources(database, found.organization_id)
    rows = ((each.name, each.kind, *_format_run(each.last_run)) for each in sources)
    print_table(("Source", "Kind", *_RUN_COLUMNS), rows, right=_COUNTS, drop=_DROPPED)
    for source in sources:
        if source.last_run is not None:
            _print_skipped(source.name, source.last_run)


async def _print_runs(database: Database, organization: str, name: str, first: int) -> None:
    found = await find_organization(database, organization)
    runs = await list_source_runs(database, found.organization_id, name, first)
    rows = ((str(run.number), *_format_run(run)) for run in runs)
    print_table(("Run", *_RUN_COLUMNS), rows, right=_COUNTS, drop=_DROPPED)
    _print_skipped(name, runs[0])


_COUNTS = ("Accepted", "Duplicates", "Skipped")
_RUN_COLUMNS = ("Started", "Finished", "Outcome", *_COUNTS)
_DROPPED = ("Started", "Duplicates")


def _format_run(run: SourceRunState | None) -> list[str]:
    if run is None:
        return [""] * len(_RUN_COLUMNS)
    finished = f"{run.finished_at:%Y-%m-%d %H:%M}" if run.finished_at else ""
    counts = (run.accepted, run.duplicates, run.skipped_count)
    outcome = run.outcome.lower()
    return [f"{run.started_at:%Y-%m-%d %H:%M}", finished, outcome, *map(str, counts)]


def _print_skipped(name: str, run: SourceRunState) -> None:
    if run.outcome is RunOutcome.FAILED:
        print_line(f"{name}: failed: {run.error}")
    for skipped in run.skipped:
        print_line(f"{name}: {skipped.item}: {skipped.reason}")
    if more := run.skipped_count - len(run.skipped):
        print_line(f"{name}: and {more} more")
