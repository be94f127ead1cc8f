"""Experiments: what each adds to the stocks and flows of each month."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.db.events import select_experiments_of_projects, select_facts
from app.db.months import (
    MEMBER_MONTH,
    PROJECT_MONTH,
    USER_MONTH,
    WORKSPACE_MONTH,
    FiguresRow,
    MonthTable,
    add_figures,
)
from app.domain.events import (
    ExperimentCreated,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentResized,
    ExperimentResizedEvent,
)
from app.domain.ids import (
    experiment_id,
    project_id,
    user_id,
    workspace_id,
)
from app.domain.months import Month, microseconds
from app.domain.timelines import (
    Change,
    ExperimentFact,
    Figures,
    Place,
    Step,
    experiment_changes,
)
from app.feed.batch import Batch
from app.feed.directory import DEATHS

_STEPS = {
    "experiment.created": Step.CREATED,
    "experiment.resized": Step.RESIZED,
    "experiment.deleted": Step.DELETED,
}
_decode_created = msgspec.json.Decoder(ExperimentCreated).decode
_decode_resized = msgspec.json.Decoder(ExperimentResized).decode

Facts = Mapping[UUID, Sequence[ExperimentFact]]
Moments = Mapping[UUID, Sequence[tuple[datetime, UUID]]]
"""By thing: when it ended, and the event that says so."""

# What a month row of each table is the sum of.
_GRAINS: Mapping[MonthTable, Any] = {
    WORKSPACE_MONTH: lambda place: (place.workspace_id,),
    PROJECT_MONTH: lambda place: (place.workspace_id, place.project_id),
    MEMBER_MONTH: lambda place: (place.workspace_id, place.user_id),
    USER_MONTH: lambda place: (place.user_id,),
}


async def store_experiments(batch: Batch, ended_projects: Collection[UUID]) -> None:
    """Add what the batch changes about its experiments, and those of projects that it ended."""
    facts = await _facts(batch, await _touched(batch, ended_projects))
    if not facts:
        return
    difference = _difference(batch, facts, await _project_deaths(batch, facts))
    for table, keys_of in _GRAINS.items():
        rows = _rows(difference, keys_of)
        if rows:
            await add_figures(batch.tx, batch.organization_id, table, rows, batch.months)
    _book_late(batch, difference)


async def _touched(batch: Batch, ended_projects: Collection[UUID]) -> set[UUID]:
    spoken_of = {experiment_id(e.data.experiment) for e in batch.of(ExperimentCreatedEvent)}
    spoken_of |= {experiment_id(e.data.experiment) for e in batch.of(ExperimentResizedEvent)}
    spoken_of |= {experiment_id(e.data.experiment) for e in batch.of(ExperimentDeletedEvent)}
    return spoken_of | await select_experiments_of_projects(
        batch.tx, batch.organization_id, ended_projects
    )


async def _facts(batch: Batch, experiments: set[UUID]) -> Facts:
    facts: dict[UUID, list[ExperimentFact]] = defaultdict(list)
    for row in await select_facts(batch.tx, batch.organization_id, experiments, tuple(_STEPS)):
        facts[row.subject_id].append(_fact(row))
    return facts


def _fact(row: Any) -> ExperimentFact:
    step = _STEPS[row.type]
    if step is Step.CREATED:
        created = _decode_created(row.data)
        place = Place(
            workspace_id(created.workspace),
            project_id(created.workspace, created.project),
            user_id(created.username),
        )
        return ExperimentFact(row.occurred_at, step, row.uid, place, created.size_bytes)
    if step is Step.RESIZED:
        size_bytes = _decode_resized(row.data).size_bytes
        return ExperimentFact(row.occurred_at, step, row.uid, None, size_bytes)
    return ExperimentFact(row.occurred_at, step, row.uid)


async def _project_deaths(batch: Batch, facts: Facts) -> Moments:
    """By project: its own deaths and those of its workspace."""
    workspace_of = {
        fact.place.project_id: fact.place.workspace_id
        for known in facts.values()
        for fact in known
        if fact.place is not None
    }
    subjects = {*workspace_of, *workspace_of.values()}
    ended: dict[UUID, list[tuple[datetime, UUID]]] = defaultdict(list)
    for row in await select_facts(batch.tx, batch.organization_id, subjects, DEATHS):
        ended[row.subject_id].append((row.occurred_at, row.uid))
    return {
        project: sorted(ended[project] + ended[workspace])
        for project, workspace in workspace_of.items()
        if ended[project] or ended[workspace]
    }


def _book_late(batch: Batch, difference: Mapping[tuple[Month, Place], Figures]) -> None:
    """A closed month lacks what changed within it, and what changed before and stayed."""
    for (month, place), figures in difference.items():
        if month < batch.months[0]:
            batch.late.add_figures(month, place, figures)
            for later in month.plus(1).through(batch.closed[-1]):
                batch.late.add_figures(later, place, figures.carried(later.microseconds))


def _difference(
    batch: Batch, facts: Facts, deaths: Moments
) -> Mapping[tuple[Month, Place], Figures]:
    """What the batch adds to each month and place: all that is known now, less what was known."""
    total: dict[tuple[Month, Place], Figures] = defaultdict(Figures)
    now = {project: [at for at, _ in moments] for project, moments in deaths.items()}
    before = {
        project: [at for at, uid in moments if uid not in batch.uids]
        for project, moments in deaths.items()
    }
    for known in facts.values():
        _count(total, experiment_changes(known, now), 1)
        known_before = [fact for fact in known if fact.uid not in batch.uids]
        _count(total, experiment_changes(known_before, before), -1)
    return {place: figures for place, figures in total.items() if figures}


def _count(
    total: dict[tuple[Month, Place], Figures], changes: Iterable[Change], sign: int
) -> None:
    for change in changes:
        month = Month.containing(change.occurred_at)
        remaining = microseconds(month.end - change.occurred_at)
        total[month, change.place].add(change, remaining, sign)


def _rows(difference: Mapping[tuple[Month, Place], Figures], keys_of: Any) -> list[FiguresRow]:
    total: dict[tuple[Month, tuple[UUID, ...]], Figures] = defaultdict(Figures)
    for (month, place), figures in difference.items():
        total[month, keys_of(place)].merge(figures)
    return [
        FiguresRow(month, keys, figures) for (month, keys), figures in total.items() if figures
    ]
