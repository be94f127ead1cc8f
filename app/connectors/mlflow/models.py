"""Logged models and registered versions: files that lie beside those of runs."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    DUE,
    MODEL_BUCKETS,
    Draft,
    Due,
    changed_buckets,
    models_of,
    read_known,
    remember_buckets,
    runs_of,
    written,
)
from app.connectors.mlflow.facts import Experiment, Model, Run
from app.connectors.mlflow.mapping import Place
from app.connectors.mlflow.people import People
from app.connectors.mlflow.reading import Reading
from app.connectors.mlflow.runs import run_deleted, tell_run
from app.domain.sources import SourceBatch


class LoggedModel(msgspec.Struct, array_like=True):
    """A logged model's run, None when it counts for itself, and its folder."""

    run_id: str | None
    folder: str


read_logged_model = msgspec.json.Decoder(LoggedModel).decode


async def read_models(
    reading: Reading, places: Mapping[str, Place], people: People
) -> AsyncIterator[SourceBatch]:
    """Logged models: their files count for the run that logged them, or for themselves."""
    fingerprints = await reading.store.model_buckets()
    changed = await changed_buckets(reading.recall, MODEL_BUCKETS, fingerprints)
    for experiment_id, starts in changed.items():
        draft = Draft()
        remember_buckets(draft, MODEL_BUCKETS, experiment_id, starts, fingerprints)
        if experiment_id in places:
            runs = await reading.recall(runs_of(experiment_id))
            models = await reading.store.models(experiment_id)
            for model in models:
                _tell(reading, people, draft, model, runs, places[experiment_id])
            await _tell_gone(reading, draft, experiment_id, models, runs)
        yield draft.brought()


def _tell(
    reading: Reading,
    people: People,
    draft: Draft,
    model: Model,
    runs: Mapping[str, str],
    place: Place,
) -> None:
    family, folder = models_of(model.experiment_id), model.artifact_uri
    if model.run_id is not None and model.run_id in runs:
        draft.remember(family, model.model_id, written(LoggedModel(model.run_id, folder)))
        due = Due(model.experiment_id, model.updated_ms + reading.settle_ms)
        draft.remember(DUE, model.run_id, written(due))
        return
    draft.remember(family, model.model_id, written(LoggedModel(None, folder)))
    alone = Run(
        model.model_id,
        model.experiment_id,
        model.owner,
        model.created_ms,
        model.updated_ms,
        running=False,
        artifact_uri=folder,
    )
    tell_run(reading, people, draft, alone, runs.get(model.model_id), place, model=True)


async def _tell_gone(
    reading: Reading,
    draft: Draft,
    experiment_id: str,
    models: Sequence[Model],
    runs: Mapping[str, str],
) -> None:
    """Models that are there no longer: their run is smaller, or they were counted themselves."""
    before = await reading.recall(models_of(experiment_id))
    for gone in sorted(before.keys() - {model.model_id for model in models}):
        draft.remember(models_of(experiment_id), gone, None)
        run_id = read_logged_model(before[gone]).run_id
        if run_id is not None and run_id in runs:
            due = Due(experiment_id, reading.now_ms + reading.settle_ms)
            draft.remember(DUE, run_id, written(due))
        elif gone in runs:
            known = read_known(runs[gone])
            draft.lines.append(run_deleted(reading.events, gone, known, reading.now_ms))
            draft.remember(runs_of(experiment_id), gone, None)
            draft.remember(DUE, gone, None)


async def read_versions(
    reading: Reading, experiments: Sequence[Experiment]
) -> AsyncIterator[SourceBatch]:
    """Registered versions whose files belong to no experiment: nobody is charged for them."""
    draft = Draft()
    roots = [f"{each.artifact_location.rstrip('/')}/" for each in experiments]
    inside = tuple(root for root in [*roots, "runs:/", "models:/"] if root != "/")
    for version in await reading.store.model_versions():
        if version.location and not version.location.startswith(inside):
            draft.leave_out(
                f"model version {version.name}/{version.version}",
                f"its files lie outside of every experiment, in {version.location}: not counted",
            )
    yield draft.brought()
