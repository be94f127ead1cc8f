"""Import from MLflow: turn changes in a tracking store into events and store them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from app.clock import Clock
from app.connectors.mlflow.artifacts import ArtifactStores
from app.connectors.mlflow.checkpoint import LoadCheckpoint
from app.connectors.mlflow.connector import read_mlflow
from app.connectors.mlflow.database import DatabaseAccountDirectory, DatabaseStore
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.http_client import MlflowClient
from app.connectors.mlflow.load_context import LoadContext, ProgressCallback
from app.connectors.mlflow.mapping import WorkspaceRule
from app.connectors.mlflow.options import MlflowOptions
from app.connectors.mlflow.records import AccountDirectory, TrackingStore
from app.connectors.mlflow.rest import RestAccountDirectory, RestStore
from app.db.engine import Database
from app.db.external_database import ExternalDatabase
from app.domain.errors import InvalidArgument
from app.domain.sources import MLFLOW_PREFIX, SourceBatch
from app.services.sources import ActiveSourceRun, open_source_run

KIND = "mlflow"


async def import_mlflow(
    database: Database,
    organization_id: UUID,
    name: str,
    options: MlflowOptions,
    *,
    clock: Clock,
    progress: ProgressCallback,
) -> ActiveSourceRun:
    """Import what changed since the last run of this source.

    Raises:
        SourceUnavailable: MLflow cannot be read. Batches read before that are stored.
        InvalidArgument: An option is invalid.
        SourceBusy: Another run of the source is in progress.
    """
    async with open_source_run(database, organization_id, name, kind=KIND, clock=clock) as run:
        async for batch in read_mlflow_batches(
            name, options, load_checkpoint=run.load_checkpoint, now=clock(), progress=progress
        ):
            await run.store_batch(batch)
    return run


async def read_mlflow_batches(
    name: str,
    options: MlflowOptions,
    *,
    load_checkpoint: LoadCheckpoint,
    now: datetime,
    progress: ProgressCallback,
) -> AsyncIterator[SourceBatch]:
    """Yield batches of what changed since the checkpoint; store each before requesting the next.

    Raises:
        SourceUnavailable: MLflow cannot be read.
        InvalidArgument: An option is invalid.
    """
    async with _open(options) as (rule, store, directory, artifacts):
        reading = LoadContext(
            store=store,
            directory=directory,
            artifacts=artifacts,
            rule=rule,
            events=EventWriter(f"{MLFLOW_PREFIX}{name}"),
            load_checkpoint=load_checkpoint,
            now_ms=int(now.timestamp() * 1000),
            settle_ms=timedelta(days=options.settle_days) // timedelta(milliseconds=1),
            relist=options.relist,
            accept_loss=options.accept_loss,
            progress=progress,
        )
        async for batch in read_mlflow(reading):
            yield batch


@asynccontextmanager
async def _open(
    options: MlflowOptions,
) -> AsyncIterator[tuple[WorkspaceRule, TrackingStore, AccountDirectory | None, ArtifactStores]]:
    rule = WorkspaceRule.parse(options.workspace_from, options.otherwise)
    server = MlflowClient(options.tracking_url) if options.tracking_url else None
    async with AsyncExitStack() as stack:
        store = await _open_store(options, rule, server, stack)
        directory = await _open_directory(options, server, stack)
        artifacts = ArtifactStores(
            destination=options.artifacts_destination, server=server, parallel=options.parallel
        )
        stack.callback(artifacts.close)
        yield rule, store, directory, artifacts


async def _open_store(
    options: MlflowOptions,
    rule: WorkspaceRule,
    server: MlflowClient | None,
    stack: AsyncExitStack,
) -> TrackingStore:
    """Return the store: the database if given, since it offers more and spares the server."""
    if options.store is not None:
        database = await stack.enter_async_context(ExternalDatabase(options.store))
        store = DatabaseStore(database, tags=rule.tags, owner_tag=options.owner_tag)
        await store.check(untested=options.untested_version)
        return store
    if server is None:
        raise InvalidArgument("Give the tracking store: --store URL, or --tracking-url URL.")
    return RestStore(server, tags=rule.tags, owner_tag=options.owner_tag)


async def _open_directory(
    options: MlflowOptions, server: MlflowClient | None, stack: AsyncExitStack
) -> AccountDirectory | None:
    """Return the accounts from the basic-auth database, or from a server with credentials."""
    if options.auth_store is not None:
        database = await stack.enter_async_context(ExternalDatabase(options.auth_store))
        directory = DatabaseAccountDirectory(database)
        await directory.check(untested=options.untested_version)
        return directory
    if options.store is None and server is not None and server.has_credentials:
        return RestAccountDirectory(server)
    return None
