"""Sources, as admins see them."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry import Info

from app.domain.sources import SkippedItem as SkippedItemRow
from app.services.sources import SourceRunState, SourceState, list_source_runs, list_sources
from resolvers.context import Context


@strawberry.enum(description="How a run of a source ended.")
class RunOutcome(Enum):
    """How a run of a source ended."""

    RUNNING = strawberry.enum_value("RUNNING", description="It has not ended.")
    DONE = strawberry.enum_value("DONE", description="It read all that it had to.")
    FAILED = strawberry.enum_value(
        "FAILED", description="It stopped at an error. What it had brought by then is stored."
    )
    INTERRUPTED = strawberry.enum_value(
        "INTERRUPTED",
        description="Its process ended. What it had brought by then is stored; the next run goes "
        "on from there.",
    )


@strawberry.type(
    description="Something that a run of a source skipped because the report cannot count it."
)
class SkippedItem:
    """Something that a run of a source skipped."""

    item: str = strawberry.field(description="What was skipped, in the source's words.")
    reason: str = strawberry.field(description="Why it was skipped.")


@strawberry.type(description="One run of a source.")
class SourceRun:
    """One run of a source."""

    number: int = strawberry.field(description="Counts the runs of the source from 1.")
    started_at: datetime = strawberry.field(description="When it began.")
    finished_at: datetime | None = strawberry.field(
        description="Null when it has not ended, or its process ended without a word; else when "
        "it ended."
    )
    outcome: RunOutcome = strawberry.field(description="How it ended.")
    accepted: int = strawberry.field(description="Events that it brought and that were new.")
    duplicates: int = strawberry.field(
        description="Events that it brought and that were stored already."
    )
    skipped_count: int = strawberry.field(description="How many items the run skipped.")
    skipped: list[SkippedItem] = strawberry.field(
        description="The first 100 skipped items, in the order found. Empty when nothing was "
        "skipped."
    )
    error: str | None = strawberry.field(
        description="Null when it did not fail; else what stopped it."
    )


@strawberry.type(
    description="What brings facts of the organization by itself or by a command: a connector."
)
class Source:
    """What brings facts: a connector."""

    name: str = strawberry.field(description="Unique in the organization.")
    kind: str = strawberry.field(description="Which connector it is, such as `mlflow`.")
    connected_at: datetime = strawberry.field(description="When it first ran.")
    last_run: SourceRun | None = strawberry.field(
        description="Null when it has not run yet; else its last run."
    )


def _run(state: SourceRunState) -> SourceRun:
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


def _source(state: SourceState) -> Source:
    return Source(
        name=state.name,
        kind=state.kind,
        connected_at=state.connected_at,
        last_run=None if state.last_run is None else _run(state.last_run),
    )


async def sources(info: Info[Context, Any]) -> list[Source]:
    """The sources of the caller's organization."""
    context = info.context
    states = await list_sources(context.database, context.caller.organization_id)
    return [_source(state) for state in states]


async def source_runs(
    info: Info[Context, Any],
    source: Annotated[str, strawberry.argument(description="The source's name.")],
    first: Annotated[int, strawberry.argument(description="At most so many, from 1 to 400.")] = 20,
) -> list[SourceRun]:
    """The last runs of a source of the caller's organization."""
    context = info.context
    organization_id = context.caller.organization_id
    runs = await list_source_runs(context.database, organization_id, source, first)
    return [_run(state) for state in runs]
