"""MLflow as a source: what changed in a tracking store becomes events, and is stored."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from app.clock import Clock
from app.connectors.mlflow.artifacts import ArtifactStores
from app.connectors.mlflow.checkpoint import LoadCheckpoint
from app.connectors.mlflow.connector import read_mlflow
from app.connectors.mlflow.database import DatabaseDirectory, DatabaseStore
from app.connectors.mlflow.events import EventWriter
from app.connectors.mlflow.facts import Directory, TrackingStore
from app.connectors.mlflow.mapping import WorkspaceRule
from app.connectors.mlflow.options import MlflowOptions
from app.connectors.mlflow.reading import Progress, Reading
from app.connectors.mlflow.rest import RestDirectory, RestStore
from app.connectors.mlflow.server import MlflowServer
from app.db.engine import Database
from app.db.external_database import ExternalDatabase
from app.domain.errors import InvalidArgument
from app.domain.sources import SourceBatch
from app.services.sources import SourceRun, source_run

KIND = "mlflow"


async def import_mlflow(
    database: Database,
    organization_id: UUID,
    name: str,
    options: MlflowOptions,
    *,
    clock: Clock,
    progress: Progress,
) -> SourceRun:
    """Bring what changed since the last run of this source.

    Raises:
        ForeignUnavailable: MLflow cannot be read; what was brought by then is stored.
        InvalidArgument: An option is wrong.
        SourceBusy: The source is being read already.
    """
    async with source_run(database, organization_id, name, kind=KIND, clock=clock) as run:
        async for brought in brought_by_mlflow(
            name, options, recall=run.recall, now=clock(), progress=progress
        ):
            await run.bring(brought)
    return run


async def brought_by_mlflow(
    name: str, options: MlflowOptions, *, recall: LoadCheckpoint, now: datetime, progress: Progress
) -> AsyncIterator[SourceBatch]:
    """What changed since what is recalled, some at a time; each is to be stored before the next.

    Raises:
        ForeignUnavailable: MLflow cannot be read.
        InvalidArgument: An option is wrong.
    """
    async with _opened(options) as (rule, store, directory, artifacts):
        reading = Reading(
            store=store,
            directory=directory,
            artifacts=artifacts,
            rule=rule,
            events=EventWriter(f"/mlflow/{name}"),
            recall=recall,
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
) -> AsyncIterator[tuple[WorkspaceRule, TrackingStore, Directory | None, ArtifactStores]]:
    rule = WorkspaceRule.parse(options.workspace_from, options.otherwise)
    server = MlflowServer(options.tracking_url) if options.tracking_url else None
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
    server: MlflowServer | None,
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
    options: MlflowOptions, server: MlflowServer | None, stack: AsyncExitStack
) -> Directory | None:
    """The users of the basic-auth app: from its database, or from a server that wants a user."""
    if options.auth_store is not None:
        database = await stack.enter_async_context(ExternalDatabase(options.auth_store))
        directory = DatabaseDirectory(database)
        await directory.check(untested=options.untested_version)
        return directory
    if options.store is None and server is not None and server.signs_in:
        return RestDirectory(server)
    return None
