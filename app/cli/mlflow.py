"""`chargeback import-mlflow`: import the changes of an MLflow tracking store."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
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
from app.console import print_error, print_line, progress_bar
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.server.store import run_with_store
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun


def import_from_mlflow(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The tracking store's database: postgresql://, mysql:// or sqlite:///",
        ),
    ] = None,
    tracking_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The tracking server, for its artifacts and, without --store, REST.",
        ),
    ] = None,
    auth_store: Annotated[
        str | None, typer.Option(metavar="URL", help="The database of the basic-auth app.")
    ] = None,
    artifacts_destination: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL", help="The server's --artifacts-destination: a directory or s3://…"
        ),
    ] = None,
    workspace_from: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help=f"How to find the workspace of an experiment: {WORKSPACE_RULE_FORMS}.",
        ),
    ] = "workspace",
    otherwise: Annotated[
        str, typer.Option(metavar="NAME", help="The workspace if the rule finds none.")
    ] = DEFAULT_WORKSPACE,
    owner_tag: Annotated[
        str,
        typer.Option(
            metavar="TAG", help="The run tag that names the owner; preferred to user_id."
        ),
    ] = OWNER_TAG,
    parallel: Annotated[
        int,
        typer.Option(
            metavar="N", help="Number of artifact directories to list at once.", min=1, max=256
        ),
    ] = 16,
    settle_days: Annotated[
        int,
        typer.Option(
            metavar="DAYS",
            help="How long after its end to keep listing a run's artifacts.",
            min=0,
            max=3650,
        ),
    ] = 7,
    relist: Annotated[
        bool, typer.Option("--relist", help="List the artifacts of all runs again.")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Delete what is gone from MLflow even if that is most of it."
        ),
    ] = False,
    untested_version: Annotated[
        bool,
        typer.Option(
            "--untested-version",
            help="Read the database of an MLflow version that was not tested.",
        ),
    ] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="The name of the source.")] = "mlflow",
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Import what changed in an MLflow tracking store since the last import."""
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
    """Run the source once, with a progress bar, and print the result."""
    found = await find_organization(database, organization)
    with show_progress() as on_progress:
        run = await import_mlflow(
            database,
            found.organization_id,
            name,
            options,
            clock=system_clock,
            progress=on_progress,
        )
    print_result(name, run)


def print_result(name: str, run: ActiveSourceRun) -> None:
    """Print how many events a run added, and how many items it skipped."""
    print_line(
        f"{name}: accepted {run.total.accepted}, duplicates {run.total.duplicates}, "
        f"skipped {run.skipped_count}"
    )
    if run.skipped_count:
        print_error(f"`chargeback sources show {name}` lists the skipped items and the reasons.")


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """Show a progress bar for each kind of item that is read."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with progress_bar(*columns) as progress:
        connecting = progress.add_task("MLflow", total=None)
        tasks: dict[str, TaskID] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            progress.update(connecting, visible=False)
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        try:
            yield on_progress
        finally:
            progress.update(connecting, visible=False)
