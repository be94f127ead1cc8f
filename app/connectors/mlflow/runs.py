"""Runs: the report's experiments, each a use of the SDK when it begins."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    DUE,
    RUN_BUCKETS,
    BatchBuilder,
    PendingListing,
    RunCheckpoint,
    changed_buckets,
    read_known,
    remember_buckets,
    runs_family,
    within,
    written,
)
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowRun
from app.connectors.mlflow.users import UNKNOWN_OWNER, UserTracker
from app.domain.sources import SourceBatch

_EARLIEST_MS = 946_684_800_000
_SKEW_MS = 300_000


async def read_runs(
    context: LoadContext, places: Mapping[str, ProjectKey], people: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Runs of the buckets that changed, by experiment."""
    fingerprints = await context.store.run_buckets()
    changed = await changed_buckets(context.load_checkpoint, RUN_BUCKETS, fingerprints)
    for done, (experiment_id, starts) in enumerate(changed.items()):
        context.progress("experiments with new or changed runs", done, len(changed))
        known = await context.load_checkpoint(runs_family(experiment_id))
        found: set[str] = set()
        last = BatchBuilder()
        if experiment_id in places:
            async for runs in context.store.runs(experiment_id, starts):
                found |= {run.run_id for run in runs}
                yield _facts(context, people, runs, known, places[experiment_id], last)
        _tell_gone(context, last, experiment_id, known, found, starts)
        # What has no place yet is looked at again next time.
        if not last.skipped:
            remember_buckets(last, RUN_BUCKETS, experiment_id, starts, fingerprints)
        yield last.build()
    context.progress("experiments with new or changed runs", len(changed), len(changed))


def _facts(
    context: LoadContext,
    people: UserTracker,
    runs: Sequence[MlflowRun],
    known: Mapping[str, str],
    place: ProjectKey,
    last: BatchBuilder,
) -> SourceBatch:
    """What some runs say; those of a time that cannot be are told at last."""
    draft = BatchBuilder()
    for run in runs:
        if not _EARLIEST_MS <= run.started_ms <= context.now_ms + _SKEW_MS:
            why = f"its start, {run.started_ms} ms, is before 2000 or in the future: not counted"
            last.skip(f"run {run.run_id}", why)
            continue
        tell_run(context, people, draft, run, known.get(run.run_id), place)
    return draft.build()


def tell_run(
    context: LoadContext,
    people: UserTracker,
    draft: BatchBuilder,
    run: MlflowRun,
    told: str | None,
    place: ProjectKey,
    *,
    model: bool = False,
) -> None:
    """What a run, or a logged model without one, says that was not told before."""
    before = read_known(told) if told is not None else None
    after = RunCheckpoint(
        run.started_ms,
        run.owner or UNKNOWN_OWNER,
        *place,
        run.artifact_uri,
        run.ended_ms,
        run.running,
        before.size_bytes if before else None,
        before.listed_ms if before else None,
        model,
    )
    draft.lines += _lines(context, run.run_id, before, after)
    people.saw(draft, after.owner, after.workspace, after.start_ms)
    if after != before:
        draft.remember(runs_family(run.experiment_id), run.run_id, written(after))
        until = None if run.running else (run.ended_ms or run.started_ms) + context.settle_ms
        draft.remember(DUE, run.run_id, written(PendingListing(run.experiment_id, until)))


def _lines(
    context: LoadContext, run_id: str, before: RunCheckpoint | None, after: RunCheckpoint
) -> Iterable[bytes]:
    if before is None:
        yield place_line(context.events, run_id, after, after.start_ms, moved=False)
        if after.owner != UNKNOWN_OWNER and not after.model:
            yield context.events.line(
                f"run/{run_id}/use",
                "usage.recorded",
                after.start_ms,
                username=after.owner,
                channel="sdk",
            )
    elif _place(before) != _place(after):
        at = max(context.now_ms, after.start_ms)
        yield place_line(context.events, run_id, after, at, moved=True)


def _place(known: RunCheckpoint) -> tuple[str, str, str]:
    return known.workspace, known.project, known.owner


def place_line(
    events: EventWriter, run_id: str, known: RunCheckpoint, at: int, *, moved: bool
) -> bytes:
    """A run is counted there from then on."""
    return events.line(
        f"run/{run_id}/moved/{at}" if moved else f"run/{run_id}",
        "experiment.created",
        at,
        experiment=run_id,
        workspace=known.workspace,
        project=known.project,
        username=known.owner,
    )


def run_deleted(events: EventWriter, run_id: str, known: RunCheckpoint, now_ms: int) -> bytes:
    """A run is gone, with its files."""
    at = max(now_ms, known.start_ms)
    return events.line(f"run/{run_id}/deleted", "experiment.deleted", at, experiment=run_id)


def _tell_gone(
    context: LoadContext,
    draft: BatchBuilder,
    experiment_id: str,
    known: Mapping[str, str],
    found: set[str],
    starts: Sequence[int],
) -> None:
    """Runs of these buckets that are there no longer: garbage was collected, with their files."""
    for run_id, value in known.items():
        run = read_known(value)
        if run_id not in found and not run.model and within(run.start_ms, starts):
            draft.lines.append(run_deleted(context.events, run_id, run, context.now_ms))
            draft.remember(runs_family(experiment_id), run_id, None)
            draft.remember(DUE, run_id, None)
