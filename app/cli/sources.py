"""`chargeback sources`: what is connected, what it brought, what it could not place and why."""

from rich.table import Table

from app.cli.console import stdout
from app.db.engine import Database
from app.domain.sources import Outcome
from resolvers.organizations import find_organization
from resolvers.sources import RunState, list_runs, list_sources


async def print_sources(database: Database, organization: str) -> None:
    """Print the sources by name, each with its last run, then what those could not place."""
    found = await find_organization(database, organization)
    sources = await list_sources(database, found.organization_id)
    table = Table("Source", "Kind", *_RUN)
    for source in sources:
        table.add_row(source.name, source.kind, *_cells(source.last_run))
    stdout.print(table)
    for source in sources:
        if source.last_run is not None:
            _print_unplaced(source.name, source.last_run)


async def print_runs(database: Database, organization: str, name: str, first: int) -> None:
    """Print the last runs of a source, then what the last one could not place."""
    found = await find_organization(database, organization)
    runs = await list_runs(database, found.organization_id, name, first)
    table = Table("Run", *_RUN)
    for run in runs:
        table.add_row(str(run.number), *_cells(run))
    stdout.print(table)
    _print_unplaced(name, runs[0])


_RUN = ("Started", "Finished", "Outcome", "Accepted", "Duplicates", "Not placed")


def _cells(run: RunState | None) -> list[str]:
    if run is None:
        return [""] * len(_RUN)
    finished = f"{run.finished_at:%Y-%m-%d %H:%M}" if run.finished_at else ""
    counts = (run.accepted, run.duplicates, run.unplaced_count)
    outcome = run.outcome.lower()
    return [f"{run.started_at:%Y-%m-%d %H:%M}", finished, outcome, *map(str, counts)]


def _print_unplaced(name: str, run: RunState) -> None:
    if run.outcome is Outcome.FAILED:
        _print(f"{name}: failed: {run.error}")
    for thing in run.unplaced:
        _print(f"{name}: {thing.what}: {thing.why}")
    if more := run.unplaced_count - len(run.unplaced):
        _print(f"{name}: and {more} more")


def _print(line: str) -> None:
    stdout.print(line, markup=False, highlight=False)
