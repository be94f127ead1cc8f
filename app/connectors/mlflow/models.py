"""Read logged models and registered versions, whose files are stored beside those of runs."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    DUE,
    MODEL_BUCKETS,
    BatchBuilder,
    PendingListing,
    decode_run,
    drop_unknown_experiments,
    encode,
    find_changed_buckets,
    models_family,
    runs_family,
    store_fingerprints,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowExperiment, MlflowModel, MlflowRun
from app.connectors.mlflow.runs import load_run_ends, report_deleted_run, report_run
from app.connectors.mlflow.users import UserTracker
from app.domain.sources import SourceBatch


class ModelCheckpoint(msgspec.Struct, array_like=True):
    """A logged model's folder and run; without a run it counts as an experiment itself."""

    run_id: str | None
    folder: str


decode_model = msgspec.json.Decoder(ModelCheckpoint).decode


async def read_models(
    context: LoadContext, projects: Mapping[str, ProjectKey], users: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Yield changed logged models.

    A model's files count towards the run that logged it, or else towards the model itself.
    """
    buckets = await context.store.model_buckets()
    fingerprints = drop_unknown_experiments(buckets, projects)
    changed = await find_changed_buckets(context.load_checkpoint, MODEL_BUCKETS, fingerprints)
    for experiment_id, starts in changed.items():
        batch = BatchBuilder()
        store_fingerprints(batch, MODEL_BUCKETS, experiment_id, starts, fingerprints)
        if experiment_id in projects:
            runs = await context.load_checkpoint(runs_family(experiment_id))
            models = await context.store.models(experiment_id)
            new = [model.model_id for model in models if model.model_id not in runs]
            ends = await load_run_ends(context, new)
            for model in models:
                project = projects[experiment_id]
                _report_model(context, users, batch, model, runs, project, ends)
            await _report_deleted_models(context, batch, experiment_id, models, runs)
        yield batch.build()


def _report_model(
    context: LoadContext,
    users: UserTracker,
    batch: BatchBuilder,
    model: MlflowModel,
    runs: Mapping[str, str],
    project: ProjectKey,
    ends: Mapping[str, int],
) -> None:
    family, folder = models_family(model.experiment_id), model.artifact_uri
    if model.run_id is not None and model.run_id in runs:
        checkpoint = ModelCheckpoint(model.run_id, folder)
        batch.set_checkpoint(family, model.model_id, encode(checkpoint))
        pending = PendingListing(model.experiment_id, model.updated_ms + context.settle_ms)
        batch.set_checkpoint(DUE, model.run_id, encode(pending))
        return
    batch.set_checkpoint(family, model.model_id, encode(ModelCheckpoint(None, folder)))
    run = MlflowRun(
        model.model_id,
        model.experiment_id,
        model.owner,
        model.created_ms,
        model.updated_ms,
        running=False,
        artifact_uri=folder,
    )
    before, ended_ms = runs.get(model.model_id), ends.get(model.model_id)
    report_run(context, users, batch, run, before, project, ended_ms, model=True)


async def _report_deleted_models(
    context: LoadContext,
    batch: BatchBuilder,
    experiment_id: str,
    models: Sequence[MlflowModel],
    runs: Mapping[str, str],
) -> None:
    """Measure the runs of deleted models again; end models that counted themselves."""
    before = await context.load_checkpoint(models_family(experiment_id))
    for model_id in sorted(before.keys() - {model.model_id for model in models}):
        batch.set_checkpoint(models_family(experiment_id), model_id, None)
        run_id = decode_model(before[model_id]).run_id
        if run_id is not None and run_id in runs:
            pending = PendingListing(experiment_id, context.now_ms + context.settle_ms)
            batch.set_checkpoint(DUE, run_id, encode(pending))
        elif model_id in runs:
            run = decode_run(runs[model_id])
            report_deleted_run(context, batch, experiment_id, model_id, run)


async def read_versions(
    context: LoadContext, experiments: Sequence[MlflowExperiment]
) -> AsyncIterator[SourceBatch]:
    """Report registered versions whose files belong to no experiment; nobody pays for them."""
    batch = BatchBuilder()
    roots = [f"{each.artifact_location.rstrip('/')}/" for each in experiments]
    inside = tuple(root for root in [*roots, "runs:/", "models:/"] if root != "/")
    for version in await context.store.model_versions():
        if version.location and not version.location.startswith(inside):
            batch.skip(
                f"model version {version.name}/{version.version}",
                f"its files are outside of every experiment, in {version.location}: not counted",
            )
    yield batch.build()
