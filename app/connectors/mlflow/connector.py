"""From what a tracking store says to the feed's events: all that changed since the last time."""

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
    """Everything that changed since the last context, some at a time.

    Each piece is to be stored whole with what is checkpoint of it, before the next is asked for;
    a context that stops in between is gone on with by the next.
    """
    experiments = await context.store.experiments()
    places = {each.experiment_id: context.rule.place(each) for each in experiments}
    people = await load_users(context)
    parts = (
        read_projects(context, experiments, places),
        read_runs(context, places, people),
        read_models(context, places, people),
        read_traces(context, places),
        read_accounts(context, places, people),
        read_sizes(context),
        read_versions(context, experiments),
    )
    for part in parts:
        async for brought in part:
            yield brought
