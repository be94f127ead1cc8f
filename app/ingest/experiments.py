"""Experiments: what each adds to the stocks and flows of each month."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from app.db.events import select_experiments_of_projects, select_facts
from app.db.months import (
    MEMBER_MONTH,
    PROJECT_MONTH,
    WORKSPACE_MONTH,
    FiguresRow,
    MonthTable,
    add_figures,
)
from app.domain.events import (
    ExperimentCreated,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentNamed,
    ExperimentResized,
    ExperimentResizedEvent,
)
from app.domain.experiments import (
    ExperimentFact,
    ExperimentFigures,
    ExperimentStep,
    Placement,
    StockChange,
    compute_stock_changes,
)
from app.domain.ids import (
    project_id,
    user_id,
    workspace_id,
)
from app.domain.months import Month, microseconds
from app.ingest.batch import Batch
from app.ingest.directory import DEATHS

_DECODERS: Mapping[str, Callable[[str], Any]] = {
    "experiment.created": msgspec.json.Decoder(ExperimentCreated).decode,
    "experiment.resized": msgspec.json.Decoder(ExperimentResized).decode,
    "experiment.deleted": msgspec.json.Decoder(ExperimentNamed).decode,
}

Said = ExperimentCreated | ExperimentResized | ExperimentNamed
Facts = Mapping[UUID, Sequence[ExperimentFact]]
Moments = Mapping[UUID, Sequence[tuple[datetime, UUID]]]
"""By thing: when it ended, and the event that says so."""
Difference = Mapping[tuple[Month, Placement], ExperimentFigures]

_EVENTS = (ExperimentCreatedEvent, ExperimentResizedEvent, ExperimentDeletedEvent)

# What a month row of each table is the sum of.
_GRAINS: Mapping[MonthTable, Any] = {
    WORKSPACE_MONTH: lambda place: (place.workspace_id,),
    PROJECT_MONTH: lambda place: (place.workspace_id, place.project_id),
    MEMBER_MONTH: lambda place: (place.workspace_id, place.user_id),
}


class Told(NamedTuple):
    """What is told of a batch's experiments: before it, and by it."""

    before: Facts
    by_batch: Facts


async def experiments_of(batch: Batch) -> Told:
    """What is told of the batch's experiments; to be asked before the batch is inserted."""
    brought = _brought(batch)
    return Told(await _stored_facts(batch, brought), brought)


async def store_experiments(
    batch: Batch, told: Told, ended_projects: Collection[UUID]
) -> Sequence[FiguresRow]:
    """Add what the batch changes about its experiments, and those of projects that it ended.

    Returns:
        What is left to add to the rows of users.
    """
    brought = told.by_batch
    ended = await select_experiments_of_projects(batch.tx, batch.organization_id, ended_projects)
    before = {**told.before, **await _stored_facts(batch, ended - {*brought})}
    if not before and not brought:
        return ()
    difference = await _difference(batch, before, brought)
    for table, keys_of in _GRAINS.items():
        rows = _rows(difference, keys_of)
        await add_figures(batch.tx, batch.organization_id, table, rows, batch.months)
    _book_late(batch, difference)
    return _rows(difference, lambda place: (place.user_id,))


async def _stored_facts(batch: Batch, experiments: Collection[UUID]) -> Facts:
    facts: dict[UUID, list[ExperimentFact]] = defaultdict(list)
    for subject_id, uid, kind, at, data in await select_facts(
        batch.tx, batch.organization_id, experiments, tuple(_DECODERS)
    ):
        facts[subject_id].append(_fact(uid, at, _DECODERS[kind](data)))
    return facts


def _brought(batch: Batch) -> Facts:
    """What the batch itself says of experiments."""
    facts: dict[UUID, list[ExperimentFact]] = defaultdict(list)
    fresh = batch.fresh
    for (uid, event), experiment in zip(fresh.by_uid.items(), fresh.subject_ids, strict=True):
        if isinstance(event, _EVENTS):
            facts[experiment].append(_fact(uid, event.time, event.data))
    return facts


def _fact(uid: UUID, at: datetime, said: Said) -> ExperimentFact:
    if isinstance(said, ExperimentCreated):
        place = Placement(
            workspace_id(said.workspace),
            project_id(said.workspace, said.project),
            user_id(said.username),
        )
        return ExperimentFact(at, ExperimentStep.CREATED, uid, place, said.size_bytes)
    if isinstance(said, ExperimentResized):
        return ExperimentFact(at, ExperimentStep.RESIZED, uid, None, said.size_bytes)
    return ExperimentFact(at, ExperimentStep.DELETED, uid)


async def _project_deaths(batch: Batch, *facts: Facts) -> Moments:
    """By project of these facts: its own deaths and those of its workspace."""
    workspace_of = {
        fact.placement.project_id: fact.placement.workspace_id
        for known in facts
        for of_one in known.values()
        for fact in of_one
        if fact.placement is not None
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


def _book_late(batch: Batch, difference: Difference) -> None:
    """A closed month lacks what changed within it, and what changed before and stayed."""
    for (month, place), figures in difference.items():
        if month < batch.months[0]:
            batch.late.add_figures(month, place, figures)
            for later in month.plus(1).through(batch.closed[-1]):
                batch.late.add_figures(later, place, figures.carry_forward(later.microseconds))


async def _difference(batch: Batch, before: Facts, brought: Facts) -> Difference:
    """What the batch adds to each month and place: all that is known now, less what was known."""
    total: dict[tuple[Month, Placement], ExperimentFigures] = defaultdict(ExperimentFigures)
    deaths = await _project_deaths(batch, before, brought)
    now = {project: [at for at, _ in moments] for project, moments in deaths.items()}
    earlier = {
        project: [at for at, uid in moments if not batch.brings(uid)]
        for project, moments in deaths.items()
    }
    for known in before.values():
        _count(total, compute_stock_changes(known, earlier), -1)
    for experiment in {**before, **brought}:
        known = [*before.get(experiment, ()), *brought.get(experiment, ())]
        _count(total, compute_stock_changes(known, now), 1)
    return {place: figures for place, figures in total.items() if figures}


def _count(
    total: dict[tuple[Month, Placement], ExperimentFigures],
    changes: Iterable[StockChange],
    sign: int,
) -> None:
    for change in changes:
        month = Month.containing(change.occurred_at)
        remaining = microseconds(month.end - change.occurred_at)
        total[month, change.placement].add(change, remaining, sign)


def _rows(difference: Difference, keys_of: Any) -> list[FiguresRow]:
    total: dict[tuple[Month, tuple[UUID, ...]], ExperimentFigures] = defaultdict(ExperimentFigures)
    for (month, place), figures in difference.items():
        total[month, keys_of(place)].merge(figures)
    return [
        FiguresRow(month, keys, figures) for (month, keys), figures in total.items() if figures
    ]
