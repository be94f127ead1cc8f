"""Read what changed in a tracking store since the last load, as batches of events."""

from collections.abc import AsyncIterator

from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.models import read_models, read_versions
from app.connectors.mlflow.projects import read_projects
from app.connectors.mlflow.runs import read_runs
from app.connectors.mlflow.sizes import read_sizes
from app.connectors.mlflow.traces import read_traces
from app.connectors.mlflow.users import load_users, read_accounts
from app.domain.sources import SourceBatch


async def read_mlflow(context: LoadContext) -> AsyncIterator[SourceBatch]:
    """Yield everything that changed since the last load.

    Store each batch with its checkpoint, as a whole, before requesting the next. If a load stops
    early, the next one resumes where it stopped.
    """
    experiments = await context.store.experiments()
    projects = {each.experiment_id: context.rule.resolve_project(each) for each in experiments}
    users = await load_users(context)
    stages = (
        read_projects(context, experiments, projects, users),
        read_runs(context, projects, users),
        read_models(context, projects, users),
        read_traces(context, projects),
        read_accounts(context, projects, users),
        read_sizes(context),
        read_versions(context, experiments),
    )
    for stage in stages:
        async for batch in stage:
            yield batch
