"""From what a tracking store says to the feed's events: all that changed since the last time."""

from collections.abc import AsyncIterator

from app.connectors.mlflow.models import read_models, read_versions
from app.connectors.mlflow.people import people_known, read_accounts
from app.connectors.mlflow.projects import read_projects
from app.connectors.mlflow.reading import Reading
from app.connectors.mlflow.runs import read_runs
from app.connectors.mlflow.sizes import read_sizes
from app.connectors.mlflow.traces import read_traces
from app.domain.sources import SourceBatch


async def read_mlflow(reading: Reading) -> AsyncIterator[SourceBatch]:
    """Everything that changed since the last reading, some at a time.

    Each piece is to be stored whole with what is remembered of it, before the next is asked for;
    a reading that stops in between is gone on with by the next.
    """
    experiments = await reading.store.experiments()
    places = {each.experiment_id: reading.rule.place(each) for each in experiments}
    people = await people_known(reading)
    parts = (
        read_projects(reading, experiments, places),
        read_runs(reading, places, people),
        read_models(reading, places, people),
        read_traces(reading, places),
        read_accounts(reading, places, people),
        read_sizes(reading),
        read_versions(reading, experiments),
    )
    for part in parts:
        async for brought in part:
            yield brought
