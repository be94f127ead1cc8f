"""MLflow as a source: what changed in a tracking store becomes events, and is stored."""

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
from app.domain.sources import SourceBatch
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
    """Bring what changed since the last run of this source.

    Raises:
        SourceUnavailable: MLflow cannot be read; what was brought by then is stored.
        InvalidArgument: An option is wrong.
        SourceBusy: The source is being read already.
    """
    async with open_source_run(database, organization_id, name, kind=KIND, clock=clock) as run:
        async for brought in read_mlflow_batches(
            name, options, load_checkpoint=run.load_checkpoint, now=clock(), progress=progress
        ):
            await run.store_batch(brought)
    return run


async def read_mlflow_batches(
    name: str,
    options: MlflowOptions,
    *,
    load_checkpoint: LoadCheckpoint,
    now: datetime,
    progress: ProgressCallback,
) -> AsyncIterator[SourceBatch]:
    """What changed since what is recalled, some at a time; each is to be stored before the next.

    Raises:
        SourceUnavailable: MLflow cannot be read.
        InvalidArgument: An option is wrong.
    """
    async with _opened(options) as (rule, store, directory, artifacts):
        reading = LoadContext(
            store=store,
            directory=directory,
            artifacts=artifacts,
            rule=rule,
            events=EventWriter(f"/mlflow/{name}"),
            load_checkpoint=load_checkpoint,
            now_ms=int(now.timestamp() * 1000),
            settle_ms=timedelta(days=options.settle_days) // timedelta(milliseconds=1),
            relist=options.relist,
            accept_loss=options.accept_loss,
            progress=progress,
        )
        async for brought in read_mlflow(reading):
            yield brought


@asynccontextmanager
async def _opened(
    options: MlflowOptions,
) -> AsyncIterator[tuple[WorkspaceRule, TrackingStore, AccountDirectory | None, ArtifactStores]]:
    rule = WorkspaceRule.parse(options.workspace_from, options.otherwise)
    server = MlflowClient(options.tracking_url) if options.tracking_url else None
    async with AsyncExitStack() as stack:
        store = await _store(options, rule, server, stack)
        directory = await _directory(options, server, stack)
        artifacts = ArtifactStores(
            destination=options.artifacts_destination, server=server, parallel=options.parallel
        )
        stack.callback(artifacts.close)
        yield rule, store, directory, artifacts


async def _store(
    options: MlflowOptions,
    rule: WorkspaceRule,
    server: MlflowClient | None,
    stack: AsyncExitStack,
) -> TrackingStore:
    """The database where one is named: it tells more, and costs the server nothing."""
    if options.store is not None:
        database = await stack.enter_async_context(ExternalDatabase(options.store))
        store = DatabaseStore(database, tags=rule.tags, owner_tag=options.owner_tag)
        await store.check(untested=options.untested_version)
        return store
    if server is None:
        raise InvalidArgument("Give the tracking store: --store URL, or --tracking-url URL.")
    return RestStore(server, tags=rule.tags, owner_tag=options.owner_tag)


async def _directory(
    options: MlflowOptions, server: MlflowClient | None, stack: AsyncExitStack
) -> AccountDirectory | None:
    """The users of the basic-auth app: from its database, or from a server that wants a user."""
    if options.auth_store is not None:
        database = await stack.enter_async_context(ExternalDatabase(options.auth_store))
        directory = DatabaseAccountDirectory(database)
        await directory.check(untested=options.untested_version)
        return directory
    if options.store is None and server is not None and server.has_credentials:
        return RestAccountDirectory(server)
    return None
