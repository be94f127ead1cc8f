"""Read runs: the report's experiments. Each run also counts as an SDK use when it starts."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    DUE,
    RUN_BUCKETS,
    BatchBuilder,
    PendingListing,
    RunCheckpoint,
    decode_run,
    encode,
    find_changed_buckets,
    is_in_buckets,
    runs_family,
    store_fingerprints,
)
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowRun
from app.connectors.mlflow.users import UNKNOWN_OWNER, UserTracker
from app.domain.sources import SourceBatch

_EARLIEST_MS = 946_684_800_000
_CLOCK_SKEW_MS = 300_000
_PROGRESS_LABEL = "experiments with new or changed runs"


async def read_runs(
    context: LoadContext, projects: Mapping[str, ProjectKey], users: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Yield the runs of changed buckets, by experiment."""
    fingerprints = await context.store.run_buckets()
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
                yield _report_runs(context, users, runs, known, project, last)
        _report_deleted_runs(context, last, experiment_id, known, found, starts)
        # Without the fingerprints, the next load reads the skipped runs again.
        if not last.skipped:
            store_fingerprints(last, RUN_BUCKETS, experiment_id, starts, fingerprints)
        yield last.build()
    context.progress(_PROGRESS_LABEL, len(changed), len(changed))


def _report_runs(
    context: LoadContext,
    users: UserTracker,
    runs: Sequence[MlflowRun],
    known: Mapping[str, str],
    project: ProjectKey,
    last: BatchBuilder,
) -> SourceBatch:
    """Return a batch with these runs; runs with an impossible start are skipped in `last`."""
    batch = BatchBuilder()
    for run in runs:
        if not _EARLIEST_MS <= run.started_ms <= context.now_ms + _CLOCK_SKEW_MS:
            reason = f"it starts before 2000 or in the future ({run.started_ms} ms): not counted"
            last.skip(f"run {run.run_id}", reason)
            continue
        report_run(context, users, batch, run, known.get(run.run_id), project)
    return batch.build()


def report_run(
    context: LoadContext,
    users: UserTracker,
    batch: BatchBuilder,
    run: MlflowRun,
    checkpoint: str | None,
    project: ProjectKey,
    *,
    model: bool = False,
) -> None:
    """Report what changed in a run, or in a logged model without a run, since its checkpoint."""
    before = decode_run(checkpoint) if checkpoint is not None else None
    after = RunCheckpoint(
        run.started_ms,
        run.owner or UNKNOWN_OWNER,
        *project,
        run.artifact_uri,
        run.ended_ms,
        run.running,
        before.size_bytes if before else None,
        before.listed_ms if before else None,
        model,
    )
    batch.lines += _format_changes(context, run.run_id, before, after)
    users.record_activity(batch, after.owner, after.workspace, after.start_ms)
    if after != before:
        batch.set_checkpoint(runs_family(run.experiment_id), run.run_id, encode(after))
        until = None if run.running else (run.ended_ms or run.started_ms) + context.settle_ms
        batch.set_checkpoint(DUE, run.run_id, encode(PendingListing(run.experiment_id, until)))


def _format_changes(
    context: LoadContext, run_id: str, before: RunCheckpoint | None, after: RunCheckpoint
) -> Iterable[bytes]:
    if before is None:
        yield format_run(context.events, run_id, after, after.start_ms, moved=False)
        if after.owner != UNKNOWN_OWNER and not after.model:
            yield context.events.format_event(
                f"run/{run_id}/use",
                "usage.recorded",
                after.start_ms,
                username=after.owner,
                channel="sdk",
            )
    elif _owner_and_project(before) != _owner_and_project(after):
        at = max(context.now_ms, after.start_ms)
        yield format_run(context.events, run_id, after, at, moved=True)


def _owner_and_project(run: RunCheckpoint) -> tuple[str, str, str]:
    return run.workspace, run.project, run.owner


def format_run(
    events: EventWriter, run_id: str, run: RunCheckpoint, at: int, *, moved: bool
) -> bytes:
    """Return the event that counts a run in its project from `at` on."""
    return events.format_event(
        f"run/{run_id}/moved/{at}" if moved else f"run/{run_id}",
        "experiment.created",
        at,
        experiment=run_id,
        workspace=run.workspace,
        project=run.project,
        username=run.owner,
    )


def format_deleted_run(events: EventWriter, run_id: str, run: RunCheckpoint, now_ms: int) -> bytes:
    """Return the event that a run was deleted with its files."""
    at = max(now_ms, run.start_ms)
    return events.format_event(
        f"run/{run_id}/deleted", "experiment.deleted", at, experiment=run_id
    )


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
        if run_id not in found and not run.model and is_in_buckets(run.start_ms, starts):
            batch.lines.append(format_deleted_run(context.events, run_id, run, context.now_ms))
            batch.set_checkpoint(runs_family(experiment_id), run_id, None)
            batch.set_checkpoint(DUE, run_id, None)
