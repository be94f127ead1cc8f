"""Traces: each is a use of the SDK by the user whom it names."""

from collections.abc import AsyncIterator, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    TRACE_BUCKETS,
    BatchBuilder,
    changed_buckets,
    remember_buckets,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import Bucket, MlflowTrace
from app.domain.sources import SourceBatch


async def read_traces(
    context: LoadContext, places: Mapping[str, ProjectKey]
) -> AsyncIterator[SourceBatch]:
    """Traces of the buckets that changed; those told before are duplicates to the feed."""
    fingerprints = await context.store.trace_buckets()
    changed = await changed_buckets(context.load_checkpoint, TRACE_BUCKETS, fingerprints)
    for done, (experiment_id, starts) in enumerate(changed.items()):
        context.progress("experiments with new traces", done, len(changed))
        nobody = 0
        there = [start for start in starts if Bucket(experiment_id, start) in fingerprints]
        if there and experiment_id in places:
            async for traces in context.store.traces(experiment_id, there):
                nobody += sum(trace.user is None for trace in traces)
                yield SourceBatch(_uses(context, traces))
        last = BatchBuilder()
        if nobody:
            what = f"{nobody} traces of experiment {places[experiment_id].project}"
            last.skip(what, "they name no user: not counted")
        remember_buckets(last, TRACE_BUCKETS, experiment_id, starts, fingerprints)
        yield last.build()
    context.progress("experiments with new traces", len(changed), len(changed))


def _uses(context: LoadContext, traces: Sequence[MlflowTrace]) -> Sequence[bytes]:
    return [
        context.events.line(
            f"trace/{trace.trace_id}",
            "usage.recorded",
            trace.started_ms,
            username=trace.user,
            channel="sdk",
        )
        for trace in traces
        if trace.user is not None
    ]
