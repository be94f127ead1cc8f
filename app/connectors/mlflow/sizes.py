"""Measure runs: list the artifact folders of runs that may have changed, in parallel."""

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
    decode_pending_listing,
    decode_run,
    encode,
    models_family,
    runs_family,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.models import decode_model
from app.domain.errors import ChargebackError
from app.domain.sources import SourceBatch

_RUNS_PER_BATCH = 256
_PROGRESS_LABEL = "runs whose artifacts are listed"


async def read_sizes(context: LoadContext) -> AsyncIterator[SourceBatch]:
    """Yield the sizes of runs whose listing is due, or of all runs.

    Each batch stores its progress, so an interrupted load lists no run twice.
    """
    pending = {
        run_id: decode_pending_listing(value)
        for run_id, value in (await context.load_checkpoint(DUE)).items()
    }
    if context.relist:
        pending = await _all_runs(context) | pending
    by_experiment: dict[str, list[str]] = defaultdict(list)
    for run_id, listing in pending.items():
        by_experiment[listing.experiment_id].append(run_id)
    done = 0
    for experiment_id, run_ids in by_experiment.items():
        model_folders = await _load_model_folders(context, experiment_id)
        for start in range(0, len(run_ids), _RUNS_PER_BATCH):
            context.progress(_PROGRESS_LABEL, done, len(pending))
            chunk = run_ids[start : start + _RUNS_PER_BATCH]
            values = await context.load_checkpoint(runs_family(experiment_id), chunk)
            runs = {run_id: decode_run(value) for run_id, value in values.items()}
            yield await _measure_runs(context, experiment_id, runs, model_folders, pending)
            done += len(chunk)
    context.progress(_PROGRESS_LABEL, done, len(pending))


async def _all_runs(context: LoadContext) -> dict[str, PendingListing]:
    return {
        run_id: PendingListing(experiment_id, 0)
        for experiment_id in await context.load_checkpoint(PROJECTS)
        for run_id in await context.load_checkpoint(runs_family(experiment_id))
    }


async def _load_model_folders(
    context: LoadContext, experiment_id: str
) -> Mapping[str, Sequence[str]]:
    """Return the folders of logged models, by run."""
    folders: dict[str, list[str]] = defaultdict(list)
    for value in (await context.load_checkpoint(models_family(experiment_id))).values():
        model = decode_model(value)
        if model.run_id is not None:
            folders[model.run_id].append(model.folder)
    return folders


async def _measure_runs(
    context: LoadContext,
    experiment_id: str,
    runs: Mapping[str, RunCheckpoint],
    model_folders: Mapping[str, Sequence[str]],
    pending: Mapping[str, PendingListing],
) -> SourceBatch:
    batch = BatchBuilder()
    folders = [[run.folder, *model_folders.get(run_id, ())] for run_id, run in runs.items()]
    sizes = await asyncio.to_thread(context.artifacts.measure, folders)
    for (run_id, run), size in zip(runs.items(), sizes, strict=True):
        if isinstance(size, ChargebackError):
            batch.skip(f"size of run {run_id}", f"unknown: {size}")
            continue
        batch.lines += _format_resize(context, run_id, run, size)
        run.size_bytes, run.listed_ms = size.size_bytes, context.now_ms
        batch.set_checkpoint(runs_family(experiment_id), run_id, encode(run))
        until = pending[run_id].until_ms
        if until is not None and until < context.now_ms:
            batch.set_checkpoint(DUE, run_id, None)
    return batch.build()


def _format_resize(
    context: LoadContext, run_id: str, run: RunCheckpoint, size: ArtifactSize
) -> Iterable[bytes]:
    if size.size_bytes != run.size_bytes:
        at = max(_find_change_time(context, run, size), run.start_ms)
        yield context.events.format_event(
            f"run/{run_id}/size/{at}/{size.size_bytes}",
            "experiment.resized",
            at,
            experiment=run_id,
            sizeBytes=size.size_bytes,
        )


def _find_change_time(context: LoadContext, run: RunCheckpoint, size: ArtifactSize) -> int:
    """Return since when the run has this size, in milliseconds.

    That is when its newest file was written, or now if no new file explains the change. If write
    times are unknown, a run that is listed for the first time has its size since its end.
    """
    at = size.written_ms
    if at is None and run.listed_ms is None:
        at = run.ended_ms
    if at is None or (run.listed_ms is not None and at <= run.listed_ms):
        at = context.now_ms
    return min(at, context.now_ms)
