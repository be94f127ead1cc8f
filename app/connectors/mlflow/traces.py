"""Traces: each is a use of the SDK by the user whom it names."""

from collections.abc import AsyncIterator, Mapping, Sequence

from app.connectors.mlflow.checkpoint import (
    TRACE_BUCKETS,
    Draft,
    changed_buckets,
    remember_buckets,
)
from app.connectors.mlflow.facts import Bucket, Trace
from app.connectors.mlflow.mapping import Place
from app.connectors.mlflow.reading import Reading
from app.domain.sources import SourceBatch


async def read_traces(reading: Reading, places: Mapping[str, Place]) -> AsyncIterator[SourceBatch]:
    """Traces of the buckets that changed; those told before are duplicates to the feed."""
    fingerprints = await reading.store.trace_buckets()
    changed = await changed_buckets(reading.recall, TRACE_BUCKETS, fingerprints)
    for done, (experiment_id, starts) in enumerate(changed.items()):
        reading.progress("experiments with new traces", done, len(changed))
        nobody = 0
        there = [start for start in starts if Bucket(experiment_id, start) in fingerprints]
        if there and experiment_id in places:
            async for traces in reading.store.traces(experiment_id, there):
                nobody += sum(trace.user is None for trace in traces)
                yield SourceBatch(_uses(reading, traces))
        last = Draft()
        if nobody:
            what = f"{nobody} traces of experiment {places[experiment_id].project}"
            last.leave_out(what, "they name no user: not counted")
        remember_buckets(last, TRACE_BUCKETS, experiment_id, starts, fingerprints)
        yield last.brought()
    reading.progress("experiments with new traces", len(changed), len(changed))


def _uses(reading: Reading, traces: Sequence[Trace]) -> Sequence[bytes]:
    return [
        reading.events.line(
            f"trace/{trace.trace_id}",
            "usage.recorded",
            trace.started_ms,
            username=trace.user,
            channel="sdk",
        )
        for trace in traces
        if trace.user is not None
    ]
