"""Sizes: the folders of runs that may have changed are listed, side by side."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.connectors.mlflow.artifacts import ArtifactSize
from app.connectors.mlflow.checkpoint import (
    DUE,
    PROJECTS,
    BatchBuilder,
    PendingListing,
    RunCheckpoint,
    models_family,
    read_due,
    read_known,
    runs_family,
    written,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.models import read_logged_model
from app.domain.errors import ChargebackError
from app.domain.sources import SourceBatch

_AT_A_TIME = 256
_LISTING = "runs whose artifacts are listed"


async def read_sizes(context: LoadContext) -> AsyncIterator[SourceBatch]:
    """List what is due, or everything; each piece is checkpoint, so that none is listed twice."""
    due = {key: read_due(value) for key, value in (await context.load_checkpoint(DUE)).items()}
    if context.relist:
        due = await _all_runs(context) | due
    by_experiment: dict[str, list[str]] = defaultdict(list)
    for run_id, each in due.items():
        by_experiment[each.experiment_id].append(run_id)
    done = 0
    for experiment_id, run_ids in by_experiment.items():
        models = await _model_folders(context, experiment_id)
        for start in range(0, len(run_ids), _AT_A_TIME):
            context.progress(_LISTING, done, len(due))
            some = run_ids[start : start + _AT_A_TIME]
            known = await context.load_checkpoint(runs_family(experiment_id), some)
            runs = {run_id: read_known(value) for run_id, value in known.items()}
            yield await _measured(context, experiment_id, runs, models, due)
            done += len(some)
    context.progress(_LISTING, done, len(due))


async def _all_runs(context: LoadContext) -> dict[str, PendingListing]:
    return {
        run_id: PendingListing(experiment_id, 0)
        for experiment_id in await context.load_checkpoint(PROJECTS)
        for run_id in await context.load_checkpoint(runs_family(experiment_id))
    }


async def _model_folders(context: LoadContext, experiment_id: str) -> Mapping[str, Sequence[str]]:
    """The folders of the logged models of each run."""
    folders: dict[str, list[str]] = defaultdict(list)
    for value in (await context.load_checkpoint(models_family(experiment_id))).values():
        model = read_logged_model(value)
        if model.run_id is not None:
            folders[model.run_id].append(model.folder)
    return folders


async def _measured(
    context: LoadContext,
    experiment_id: str,
    runs: Mapping[str, RunCheckpoint],
    models: Mapping[str, Sequence[str]],
    due: Mapping[str, PendingListing],
) -> SourceBatch:
    draft = BatchBuilder()
    folders = [[run.folder, *models.get(run_id, ())] for run_id, run in runs.items()]
    sizes = await asyncio.to_thread(context.artifacts.measure, folders)
    for (run_id, run), size in zip(runs.items(), sizes, strict=True):
        if isinstance(size, ChargebackError):
            draft.skip(f"size of run {run_id}", f"unknown: {size}")
            continue
        draft.lines += _resized(context, run_id, run, size)
        run.size_bytes, run.listed_ms = size.size_bytes, context.now_ms
        draft.remember(runs_family(experiment_id), run_id, written(run))
        until = due[run_id].until_ms
        if until is not None and until < context.now_ms:
            draft.remember(DUE, run_id, None)
    return draft.build()


def _resized(
    context: LoadContext, run_id: str, run: RunCheckpoint, size: ArtifactSize
) -> Iterable[bytes]:
    if size.size_bytes != run.size_bytes:
        at = max(_since(context, run, size), run.start_ms)
        yield context.events.line(
            f"run/{run_id}/size/{at}/{size.size_bytes}",
            "experiment.resized",
            at,
            experiment=run_id,
            sizeBytes=size.size_bytes,
        )


def _since(context: LoadContext, run: RunCheckpoint, size: ArtifactSize) -> int:
    """Since its newest file was written; since now, when no file explains the change.

    Where it is not told when files were written, a run that is listed for the first time has held
    them since its end.
    """
    at = size.written_ms
    if at is None and run.listed_ms is None:
        at = run.ended_ms
    if at is None or (run.listed_ms is not None and at <= run.listed_ms):
        at = context.now_ms
    return min(at, context.now_ms)
