"""`chargeback import-mlflow`: what changed in an MLflow tracking store, as events."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.clock import system_clock
from app.connectors.mlflow.load_context import ProgressCallback
from app.connectors.mlflow.mapping import WORKSPACE_RULE_FORMS
from app.connectors.mlflow.options import MlflowOptions
from app.connectors.mlflow.records import DEFAULT_WORKSPACE, OWNER_TAG
from app.console import stderr, stdout
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.server.store import run_with_store
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun


def import_from_mlflow(
    store: Annotated[
        str | None,
        typer.Option(help="The tracking store's database: postgresql://, mysql:// or sqlite:///"),
    ] = None,
    tracking_url: Annotated[
        str | None,
        typer.Option(help="The server: to read over REST without --store, and its artifacts."),
    ] = None,
    auth_store: Annotated[
        str | None, typer.Option(help="The database of the basic-auth app.")
    ] = None,
    artifacts_destination: Annotated[
        str | None,
        typer.Option(help="Where the server keeps mlflow-artifacts: a folder or s3://…"),
    ] = None,
    workspace_from: Annotated[
        str,
        typer.Option(help=f"How the workspace of an experiment is found: {WORKSPACE_RULE_FORMS}."),
    ] = "workspace",
    otherwise: Annotated[
        str, typer.Option(help="The workspace where that finds none.")
    ] = DEFAULT_WORKSPACE,
    owner_tag: Annotated[
        str, typer.Option(help="The tag of a run that names its owner, before its user_id does.")
    ] = OWNER_TAG,
    parallel: Annotated[
        int, typer.Option(help="How many folders are listed at a time.", min=1, max=256)
    ] = 16,
    settle_days: Annotated[
        int,
        typer.Option(help="For how long after its end a run is listed again.", min=0, max=3650),
    ] = 7,
    relist: Annotated[
        bool, typer.Option("--relist", help="List the artifacts of all runs again.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="End what is gone, even if it is most of it.")
    ] = False,
    untested_version: Annotated[
        bool,
        typer.Option("--untested-version", help="Read a database of an untested version."),
    ] = False,
    name: Annotated[str, typer.Option(help="What the source is called.")] = "mlflow",
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Bring what changed in an MLflow tracking store since the last time."""
    options = MlflowOptions(
        store=store,
        tracking_url=tracking_url,
        auth_store=auth_store,
        artifacts_destination=artifacts_destination,
        workspace_from=workspace_from,
        otherwise=otherwise,
        owner_tag=owner_tag,
        parallel=parallel,
        settle_days=settle_days,
        relist=relist,
        accept_loss=accept_loss,
        untested_version=untested_version,
    )
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: _read_once(database, organization, name, options),
    )


async def _read_once(
    database: Database, organization: str, name: str, options: MlflowOptions
) -> None:
    """Run the source once, with a progress bar, and say what it brought."""
    found = await find_organization(database, organization)
    with shown_progress() as told:
        run = await import_mlflow(
            database, found.organization_id, name, options, clock=system_clock, progress=told
        )
    print_brought(name, run)


def print_brought(name: str, run: ActiveSourceRun) -> None:
    """Say what a run brought."""
    stdout.print(
        f"{name}: accepted {run.total.accepted}, duplicates {run.total.duplicates}, "
        f"skipped {run.skipped_count}",
        markup=False,
        highlight=False,
    )
    if run.skipped_count:
        stderr.print(f"chargeback sources show {name} says what and why.", highlight=False)


@contextmanager
def shown_progress() -> Iterator[ProgressCallback]:
    """A bar for each thing that is read."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr) as progress:
        begun = progress.add_task("MLflow", total=None)
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            progress.update(begun, visible=False)
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        try:
            yield told
        finally:
            progress.update(begun, visible=False)
