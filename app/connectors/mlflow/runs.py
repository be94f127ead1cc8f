"""Read runs: the report's experiments. Each run also counts as an SDK use when it starts."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    DUE,
    RUN_BUCKETS,
    BatchBuilder,
    PendingListing,
    RunCheckpoint,
    decode_run,
    drop_unknown_experiments,
    encode,
    find_changed_buckets,
    is_in_buckets,
    load_ends,
    runs_family,
    store_fingerprints,
)
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import UNKNOWN_OWNER, MlflowRun, find_bucket
from app.connectors.mlflow.users import UserTracker
from app.domain.sources import SourceBatch

_RUN = "run"
_CLOCK_SKEW_MS = 300_000
_PROGRESS_LABEL = "experiments with new or changed runs"


async def read_runs(
    context: LoadContext, projects: Mapping[str, ProjectKey], users: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Yield the runs of changed buckets, by experiment."""
    buckets = await context.store.run_buckets()
    fingerprints = drop_unknown_experiments(buckets, projects)
    changed = await find_changed_buckets(context.load_checkpoint, RUN_BUCKETS, fingerprints)
    for done, (experiment_id, starts) in enumerate(changed.items()):
        context.progress(_PROGRESS_LABEL, done, len(changed))
        known = await context.load_checkpoint(runs_family(experiment_id))
        found: set[str] = set()
        last = BatchBuilder()
        if experiment_id in projects:
            async for runs in context.store.runs(experiment_id, starts):
                found |= {run.run_id for run in runs}
                project = projects[experiment_id]
                yield await _report_runs(context, users, runs, known, project, last)
        _report_deleted_runs(context, last, experiment_id, known, found, starts)
        # Without the fingerprints, the next load reads the skipped runs again.
        if not last.skipped:
            store_fingerprints(last, RUN_BUCKETS, experiment_id, starts, fingerprints)
        yield last.build()
    context.progress(_PROGRESS_LABEL, len(changed), len(changed))


async def _report_runs(
    context: LoadContext,
    users: UserTracker,
    runs: Sequence[MlflowRun],
    known: Mapping[str, str],
    project: ProjectKey,
    last: BatchBuilder,
) -> SourceBatch:
    """Return a batch with these runs; runs that start in the future are skipped in `last`."""
    batch = BatchBuilder()
    ends = await load_run_ends(context, [run.run_id for run in runs if run.run_id not in known])
    for run in runs:
        if (run.started_ms or 0) > context.now_ms + _CLOCK_SKEW_MS:
            reason = f"it starts in the future ({run.started_ms} ms): not counted"
            last.skip(f"run {run.run_id}", reason)
            continue
        ended_ms = ends.get(run.run_id)
        report_run(context, users, batch, run, known.get(run.run_id), project, ended_ms)
    return batch.build()


async def load_run_ends(context: LoadContext, run_ids: Sequence[str]) -> Mapping[str, int]:
    """Return when these runs were reported as ended, without those that never were."""
    return await load_ends(context.load_checkpoint, _RUN, run_ids)


def report_run(
    context: LoadContext,
    users: UserTracker,
    batch: BatchBuilder,
    run: MlflowRun,
    checkpoint: str | None,
    project: ProjectKey,
    ended_ms: int | None,
    *,
    model: bool = False,
) -> None:
    """Report what changed in a run, or in a logged model without a run, since its checkpoint.

    Args:
        context: The load.
        users: Learns of the owner.
        batch: Collects the events.
        run: The run.
        checkpoint: The run as last reported; None if it does not count yet, or not any more.
        project: Where it counts.
        ended_ms: When it was reported as ended, if ever.
        model: Whether it is a logged model.
    """
    before = decode_run(checkpoint) if checkpoint is not None else None
    start_ms = before.start_ms if before else _find_start(context, run, ended_ms)
    after = RunCheckpoint(
        start_ms,
        start_ms,
        find_bucket(run.started_ms),
        run.owner or UNKNOWN_OWNER,
        *project,
        run.artifact_uri,
        run.ended_ms,
        run.running,
        before.size_bytes if before else None,
        before.listed_ms if before else None,
        model,
    )
    if before is not None:
        is_moved = _owner_and_project(before) != _owner_and_project(after)
        after.placed_ms = max(context.now_ms, start_ms) if is_moved else before.placed_ms
    batch.lines += _format_changes(context, run.run_id, before, after, ended_ms)
    users.record_activity(batch, after.owner, after.workspace, after.placed_ms)
    if after != before:
        batch.set_checkpoint(runs_family(run.experiment_id), run.run_id, encode(after))
        until = None if run.running else (run.ended_ms or start_ms) + context.settle_ms
        batch.set_checkpoint(DUE, run.run_id, encode(PendingListing(run.experiment_id, until)))


def _find_start(context: LoadContext, run: MlflowRun, ended_ms: int | None) -> int:
    """Return since when a run counts.

    A run without a start counts since its end, or else since now. MLflow does not use an id twice,
    so a run that was reported as ended, and exists, was ended by mistake and counts on from there.
    """
    if ended_ms is not None:
        return ended_ms + 1
    return run.started_ms or min(run.ended_ms or context.now_ms, context.now_ms)


def _format_changes(
    context: LoadContext,
    run_id: str,
    before: RunCheckpoint | None,
    after: RunCheckpoint,
    ended_ms: int | None,
) -> Iterable[bytes]:
    if before is None and ended_ms is not None:
        yield format_run(context.events, f"{run_id}/resumed/{after.start_ms}", run_id, after)
    elif before is None:
        yield format_run(context.events, run_id, run_id, after)
        if after.owner != UNKNOWN_OWNER and not after.model:
            yield context.events.format_event(
                f"run/{run_id}/use",
                "usage.recorded",
                after.start_ms,
                username=after.owner,
                channel="sdk",
            )
    elif _owner_and_project(before) != _owner_and_project(after):
        yield format_moved_run(context.events, run_id, after)


def _owner_and_project(run: RunCheckpoint) -> tuple[str, str, str]:
    return run.workspace, run.project, run.owner


def format_moved_run(events: EventWriter, run_id: str, run: RunCheckpoint) -> bytes:
    """Return the event that a run has another project or owner."""
    return format_run(events, f"{run_id}/moved/{run.placed_ms}", run_id, run)


def format_run(events: EventWriter, key: str, run_id: str, run: RunCheckpoint) -> bytes:
    """Return the event that counts a run in its project; the key makes the id of the event."""
    return events.format_event(
        f"run/{key}",
        "experiment.created",
        run.placed_ms,
        experiment=run_id,
        workspace=run.workspace,
        project=run.project,
        username=run.owner,
    )


def report_deleted_run(
    context: LoadContext, batch: BatchBuilder, experiment_id: str, run_id: str, run: RunCheckpoint
) -> None:
    """End a run that was deleted with its files."""
    at = max(context.now_ms, run.placed_ms)
    id_ = f"run/{run_id}/deleted/{at}"
    event = context.events.format_event(id_, "experiment.deleted", at, experiment=run_id)
    batch.lines.append(event)
    forget_run(batch, experiment_id, run_id, at)


def forget_run(batch: BatchBuilder, experiment_id: str, run_id: str, at: int) -> None:
    """Delete the checkpoint of a run that ended then."""
    batch.set_checkpoint(runs_family(experiment_id), run_id, None)
    batch.set_checkpoint(DUE, run_id, None)
    batch.record_end(_RUN, run_id, at)


def _report_deleted_runs(
    context: LoadContext,
    batch: BatchBuilder,
    experiment_id: str,
    known: Mapping[str, str],
    found: set[str],
    starts: Sequence[int],
) -> None:
    """End the runs of these buckets that garbage collection has removed with their files."""
    for run_id, value in known.items():
        run = decode_run(value)
        if run_id not in found and not run.model and is_in_buckets(run, starts):
            report_deleted_run(context, batch, experiment_id, run_id, run)
