"""Read traces: each counts as an SDK use by the user that it names."""

from collections.abc import AsyncIterator, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    TRACE_BUCKETS,
    BatchBuilder,
    drop_unknown_experiments,
    find_changed_buckets,
    store_fingerprints,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import Bucket, MlflowTrace
from app.domain.sources import SourceBatch


async def read_traces(
    context: LoadContext, projects: Mapping[str, ProjectKey]
) -> AsyncIterator[SourceBatch]:
    """Yield the traces of changed buckets.

    Ingestion drops those that were sent before as duplicates.
    """
    buckets = await context.store.trace_buckets()
    fingerprints = drop_unknown_experiments(buckets, projects)
    changed = await find_changed_buckets(context.load_checkpoint, TRACE_BUCKETS, fingerprints)
    for done, (experiment_id, starts) in enumerate(changed.items()):
        context.progress("experiments with new traces", done, len(changed))
        without_user = without_time = 0
        existing = [start for start in starts if Bucket(experiment_id, start) in fingerprints]
        if existing and experiment_id in projects:
            async for traces in context.store.traces(experiment_id, existing):
                dated = [trace for trace in traces if trace.started_ms is not None]
                without_time += len(traces) - len(dated)
                without_user += sum(trace.user is None for trace in dated)
                yield SourceBatch(_format_uses(context, dated))
        batch = BatchBuilder()
        for count, reason in (
            (without_user, "they name no user: not counted"),
            (without_time, "their time is before 2000: not counted"),
        ):
            if count:
                name = projects[experiment_id].project
                batch.skip(f"{count} traces of experiment {name}", reason)
        store_fingerprints(batch, TRACE_BUCKETS, experiment_id, starts, fingerprints)
        yield batch.build()
    context.progress("experiments with new traces", len(changed), len(changed))


def _format_uses(context: LoadContext, traces: Sequence[MlflowTrace]) -> Sequence[bytes]:
    return [
        context.events.format_event(
            f"trace/{trace.trace_id}",
            "usage.recorded",
            trace.started_ms,
            username=trace.user,
            channel="sdk",
        )
        for trace in traces
        if trace.user is not None and trace.started_ms is not None
    ]
