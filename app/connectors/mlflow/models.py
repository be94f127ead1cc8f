"""Logged models and registered versions: files that lie beside those of runs."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    DUE,
    MODEL_BUCKETS,
    BatchBuilder,
    PendingListing,
    changed_buckets,
    models_family,
    read_known,
    remember_buckets,
    runs_family,
    written,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowExperiment, MlflowModel, MlflowRun
from app.connectors.mlflow.runs import run_deleted, tell_run
from app.connectors.mlflow.users import UserTracker
from app.domain.sources import SourceBatch


class ModelCheckpoint(msgspec.Struct, array_like=True):
    """A logged model's run, None when it counts for itself, and its folder."""

    run_id: str | None
    folder: str


read_logged_model = msgspec.json.Decoder(ModelCheckpoint).decode


async def read_models(
    context: LoadContext, places: Mapping[str, ProjectKey], people: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Logged models: their files count for the run that logged them, or for themselves."""
    fingerprints = await context.store.model_buckets()
    changed = await changed_buckets(context.load_checkpoint, MODEL_BUCKETS, fingerprints)
    for experiment_id, starts in changed.items():
        draft = BatchBuilder()
        remember_buckets(draft, MODEL_BUCKETS, experiment_id, starts, fingerprints)
        if experiment_id in places:
            runs = await context.load_checkpoint(runs_family(experiment_id))
            models = await context.store.models(experiment_id)
            for model in models:
                _tell(context, people, draft, model, runs, places[experiment_id])
            await _tell_gone(context, draft, experiment_id, models, runs)
        yield draft.build()


def _tell(
    context: LoadContext,
    people: UserTracker,
    draft: BatchBuilder,
    model: MlflowModel,
    runs: Mapping[str, str],
    place: ProjectKey,
) -> None:
    family, folder = models_family(model.experiment_id), model.artifact_uri
    if model.run_id is not None and model.run_id in runs:
        draft.remember(family, model.model_id, written(ModelCheckpoint(model.run_id, folder)))
        due = PendingListing(model.experiment_id, model.updated_ms + context.settle_ms)
        draft.remember(DUE, model.run_id, written(due))
        return
    draft.remember(family, model.model_id, written(ModelCheckpoint(None, folder)))
    alone = MlflowRun(
        model.model_id,
        model.experiment_id,
        model.owner,
        model.created_ms,
        model.updated_ms,
        running=False,
        artifact_uri=folder,
    )
    tell_run(context, people, draft, alone, runs.get(model.model_id), place, model=True)


async def _tell_gone(
    context: LoadContext,
    draft: BatchBuilder,
    experiment_id: str,
    models: Sequence[MlflowModel],
    runs: Mapping[str, str],
) -> None:
    """Models that are there no longer: their run is smaller, or they were counted themselves."""
    before = await context.load_checkpoint(models_family(experiment_id))
    for gone in sorted(before.keys() - {model.model_id for model in models}):
        draft.remember(models_family(experiment_id), gone, None)
        run_id = read_logged_model(before[gone]).run_id
        if run_id is not None and run_id in runs:
            due = PendingListing(experiment_id, context.now_ms + context.settle_ms)
            draft.remember(DUE, run_id, written(due))
        elif gone in runs:
            known = read_known(runs[gone])
            draft.lines.append(run_deleted(context.events, gone, known, context.now_ms))
            draft.remember(runs_family(experiment_id), gone, None)
            draft.remember(DUE, gone, None)


async def read_versions(
    context: LoadContext, experiments: Sequence[MlflowExperiment]
) -> AsyncIterator[SourceBatch]:
    """Registered versions whose files belong to no experiment: nobody is charged for them."""
    draft = BatchBuilder()
    roots = [f"{each.artifact_location.rstrip('/')}/" for each in experiments]
    inside = tuple(root for root in [*roots, "runs:/", "models:/"] if root != "/")
    for version in await context.store.model_versions():
        if version.location and not version.location.startswith(inside):
            draft.skip(
                f"model version {version.name}/{version.version}",
                f"its files lie outside of every experiment, in {version.location}: not counted",
            )
    yield draft.build()
