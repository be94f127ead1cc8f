"""Sources and their runs."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from app.domain.sources import SkippedItem as SkippedItemRow
from app.services.sources import SourceRunState, SourceState, list_source_runs, list_sources
from schema.request_info import RequestInfo


@strawberry.enum(description="How a run of a source ended.")
class RunOutcome(Enum):
    """How a run of a source ended."""

    RUNNING = strawberry.enum_value("RUNNING", description="The run is in progress.")
    DONE = strawberry.enum_value(
        "DONE", description="The run read everything that it was to read."
    )
    FAILED = strawberry.enum_value(
        "FAILED", description="The run stopped at an error. The events sent before it are stored."
    )
    INTERRUPTED = strawberry.enum_value(
        "INTERRUPTED",
        description="The process of the run ended early. The events sent until then are stored, "
        "and the next run continues from there.",
    )


@strawberry.type(
    description="Something that a run of a source skipped because the report cannot count it."
)
class SkippedItem:
    """Something that a run of a source skipped."""

    item: str = strawberry.field(description="What was skipped, as the source names it.")
    reason: str = strawberry.field(description="Why it was skipped.")


@strawberry.type(description="One run of a source.")
class SourceRun:
    """One run of a source."""

    number: int = strawberry.field(description="The number of the run; each source counts from 1.")
    started_at: datetime = strawberry.field(description="When the run began.")
    finished_at: datetime | None = strawberry.field(
        description="Null when the run is in progress or was interrupted; otherwise the time at "
        "which it ended."
    )
    outcome: RunOutcome = strawberry.field(description="How the run ended.")
    accepted: int = strawberry.field(description="Events of the run that were new and are stored.")
    duplicates: int = strawberry.field(
        description="Events of the run that had already been stored."
    )
    skipped_count: int = strawberry.field(description="How many items the run skipped.")
    skipped: list[SkippedItem] = strawberry.field(
        description="The first 100 skipped items, in the order found. Empty when nothing was "
        "skipped."
    )
    error: str | None = strawberry.field(
        description="Null when the run did not fail; otherwise the error that stopped it."
    )


@strawberry.type(
    description="A source of events: a configured connector, or files imported by command."
)
class Source:
    """A source of events."""

    name: str = strawberry.field(description="Unique in the organization.")
    kind: str = strawberry.field(description="The kind of connector, such as `mlflow`.")
    connected_at: datetime = strawberry.field(description="When the source first ran.")
    last_run: SourceRun | None = strawberry.field(
        description="Null when the source has not run yet; otherwise its last run."
    )


def _to_run(state: SourceRunState) -> SourceRun:
    return SourceRun(
        number=state.number,
        started_at=state.started_at,
        finished_at=state.finished_at,
        outcome=RunOutcome[state.outcome.name],
        accepted=state.accepted,
        duplicates=state.duplicates,
        skipped_count=state.skipped_count,
        skipped=_to_skipped_items(state.skipped),
        error=state.error,
    )


def _to_skipped_items(rows: Sequence[SkippedItemRow]) -> list[SkippedItem]:
    return [SkippedItem(item=row.item, reason=row.reason) for row in rows]


def _to_source(state: SourceState) -> Source:
    return Source(
        name=state.name,
        kind=state.kind,
        connected_at=state.connected_at,
        last_run=None if state.last_run is None else _to_run(state.last_run),
    )


async def sources(info: RequestInfo) -> list[Source]:
    """Return the sources of the caller's organization, by name."""
    context = info.context
    states = await list_sources(context.database, context.caller.organization_id)
    return [_to_source(state) for state in states]


async def source_runs(
    info: RequestInfo,
    source: Annotated[str, strawberry.argument(description="The source's name.")],
    first: Annotated[
        int, strawberry.argument(description="The maximum number of runs, from 1 to 400.")
    ] = 20,
) -> list[SourceRun]:
    """Return the last runs of a source of the caller's organization, latest first."""
    context = info.context
    organization_id = context.caller.organization_id
    runs = await list_source_runs(context.database, organization_id, source, first)
    return [_to_run(state) for state in runs]
