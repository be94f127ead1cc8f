"""Sizes: the folders of runs that may have changed are listed, side by side."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.connectors.mlflow.artifacts import Size
from app.connectors.mlflow.checkpoint import (
    DUE,
    PROJECTS,
    Draft,
    Due,
    Known,
    models_of,
    read_due,
    read_known,
    runs_of,
    written,
)
from app.connectors.mlflow.models import read_logged_model
from app.connectors.mlflow.reading import Reading
from app.domain.errors import ChargebackError
from app.domain.sources import SourceBatch

_AT_A_TIME = 256
_LISTING = "runs whose artifacts are listed"


async def read_sizes(reading: Reading) -> AsyncIterator[SourceBatch]:
    """List what is due, or everything; each piece is remembered, so that none is listed twice."""
    due = {key: read_due(value) for key, value in (await reading.recall(DUE)).items()}
    if reading.relist:
        due = await _all_runs(reading) | due
    by_experiment: dict[str, list[str]] = defaultdict(list)
    for run_id, each in due.items():
        by_experiment[each.experiment_id].append(run_id)
    done = 0
    for experiment_id, run_ids in by_experiment.items():
        models = await _model_folders(reading, experiment_id)
        for start in range(0, len(run_ids), _AT_A_TIME):
            reading.progress(_LISTING, done, len(due))
            some = run_ids[start : start + _AT_A_TIME]
            known = await reading.recall(runs_of(experiment_id), some)
            runs = {run_id: read_known(value) for run_id, value in known.items()}
            yield await _measured(reading, experiment_id, runs, models, due)
            done += len(some)
    reading.progress(_LISTING, done, len(due))


async def _all_runs(reading: Reading) -> dict[str, Due]:
    return {
        run_id: Due(experiment_id, 0)
        for experiment_id in await reading.recall(PROJECTS)
        for run_id in await reading.recall(runs_of(experiment_id))
    }


async def _model_folders(reading: Reading, experiment_id: str) -> Mapping[str, Sequence[str]]:
    """The folders of the logged models of each run."""
    folders: dict[str, list[str]] = defaultdict(list)
    for value in (await reading.recall(models_of(experiment_id))).values():
        model = read_logged_model(value)
        if model.run_id is not None:
            folders[model.run_id].append(model.folder)
    return folders


async def _measured(
    reading: Reading,
    experiment_id: str,
    runs: Mapping[str, Known],
    models: Mapping[str, Sequence[str]],
    due: Mapping[str, Due],
) -> SourceBatch:
    draft = Draft()
    folders = [[run.folder, *models.get(run_id, ())] for run_id, run in runs.items()]
    sizes = await asyncio.to_thread(reading.artifacts.measure, folders)
    for (run_id, run), size in zip(runs.items(), sizes, strict=True):
        if isinstance(size, ChargebackError):
            draft.leave_out(f"size of run {run_id}", f"unknown: {size}")
            continue
        draft.lines += _resized(reading, run_id, run, size)
        run.size_bytes, run.listed_ms = size.size_bytes, reading.now_ms
        draft.remember(runs_of(experiment_id), run_id, written(run))
        until = due[run_id].until_ms
        if until is not None and until < reading.now_ms:
            draft.remember(DUE, run_id, None)
    return draft.brought()


def _resized(reading: Reading, run_id: str, run: Known, size: Size) -> Iterable[bytes]:
    if size.size_bytes != run.size_bytes:
        at = max(_since(reading, run, size), run.start_ms)
        yield reading.events.line(
            f"run/{run_id}/size/{at}/{size.size_bytes}",
            "experiment.resized",
            at,
            experiment=run_id,
            sizeBytes=size.size_bytes,
        )


def _since(reading: Reading, run: Known, size: Size) -> int:
    """Since its newest file was written; since now, when no file explains the change.

    Where it is not told when files were written, a run that is listed for the first time has held
    them since its end.
    """
    at = size.written_ms
    if at is None and run.listed_ms is None:
        at = run.ended_ms
    if at is None or (run.listed_ms is not None and at <= run.listed_ms):
        at = reading.now_ms
    return min(at, reading.now_ms)
