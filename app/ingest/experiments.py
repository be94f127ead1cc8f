"""Experiments: add what a batch changes about them to the month rows.

The changes that an experiment makes to the stocks are computed twice, from its facts without the
batch and with it. The difference, summed by month and placement, is added to the month rows.
"""

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
from app.domain.activity import find_last_activity
from app.domain.events import (
    ExperimentCreated,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentReference,
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
from app.ingest.directory import DELETION_TYPES

_DECODERS: Mapping[str, Callable[[str], Any]] = {
    "experiment.created": msgspec.json.Decoder(ExperimentCreated).decode,
    "experiment.resized": msgspec.json.Decoder(ExperimentResized).decode,
    "experiment.deleted": msgspec.json.Decoder(ExperimentReference).decode,
}

ExperimentData = ExperimentCreated | ExperimentResized | ExperimentReference
Facts = Mapping[UUID, Sequence[ExperimentFact]]
EndTimes = Mapping[UUID, Sequence[tuple[datetime, UUID]]]
"""By entity: when it was deleted, and by which event."""
Difference = Mapping[tuple[Month, Placement], ExperimentFigures]

_EXPERIMENT_EVENTS = (ExperimentCreatedEvent, ExperimentResizedEvent, ExperimentDeletedEvent)

# The key of the month row of each table that a placement is counted in.
_ROW_KEYS: Mapping[MonthTable, Any] = {
    WORKSPACE_MONTH: lambda placement: (placement.workspace_id,),
    PROJECT_MONTH: lambda placement: (placement.workspace_id, placement.project_id),
    MEMBER_MONTH: lambda placement: (placement.workspace_id, placement.user_id),
}


class KnownFacts(NamedTuple):
    """The facts about a batch's experiments that are stored already, and those in the batch."""

    stored: Facts
    in_batch: Facts


async def load_experiment_facts(batch: Batch) -> KnownFacts:
    """Return the facts about the batch's experiments. Call this before the batch is inserted."""
    in_batch = _facts_in_batch(batch)
    return KnownFacts(await _load_facts(batch, in_batch), in_batch)


async def store_experiments(
    batch: Batch, known: KnownFacts, ended_projects: Collection[UUID]
) -> Sequence[FiguresRow]:
    """Add what the batch changes about its experiments, and those in projects that it deleted.

    Returns:
        The figures to add to the month rows of users.
    """
    in_batch = known.in_batch
    ended = await select_experiments_of_projects(batch.tx, batch.organization_id, ended_projects)
    stored = {**known.stored, **await _load_facts(batch, ended - {*in_batch})}
    if not stored and not in_batch:
        return ()
    difference = await _compute_difference(batch, stored, in_batch)
    for table, key_of in _ROW_KEYS.items():
        rows = _sum_rows(difference, key_of)
        await add_figures(batch.tx, batch.organization_id, table, rows, batch.open_months)
    _book_corrections(batch, difference)
    return _sum_rows(difference, lambda placement: (placement.user_id,))


async def _load_facts(batch: Batch, experiments: Collection[UUID]) -> Facts:
    facts: dict[UUID, list[ExperimentFact]] = defaultdict(list)
    for subject_id, uid, kind, at, data in await select_facts(
        batch.tx, batch.organization_id, experiments, tuple(_DECODERS)
    ):
        facts[subject_id].append(_to_fact(uid, at, _DECODERS[kind](data)))
    return facts


def _facts_in_batch(batch: Batch) -> Facts:
    """Return the facts about experiments that the batch contains."""
    facts: dict[UUID, list[ExperimentFact]] = defaultdict(list)
    new = batch.new_events
    for (uid, event), experiment in zip(new.by_uid.items(), new.subject_ids, strict=True):
        if isinstance(event, _EXPERIMENT_EVENTS):
            facts[experiment].append(_to_fact(uid, event.time, event.data))
    return facts


def _to_fact(uid: UUID, at: datetime, data: ExperimentData) -> ExperimentFact:
    if isinstance(data, ExperimentCreated):
        placement = Placement(
            workspace_id(data.workspace),
            project_id(data.workspace, data.project),
            user_id(data.username),
        )
        return ExperimentFact(at, ExperimentStep.CREATED, uid, placement, data.size_bytes)
    if isinstance(data, ExperimentResized):
        return ExperimentFact(at, ExperimentStep.RESIZED, uid, None, data.size_bytes)
    return ExperimentFact(at, ExperimentStep.DELETED, uid)


async def _load_project_ends(batch: Batch, *facts: Facts) -> EndTimes:
    """Return for each project of these facts when it or its workspace was deleted."""
    workspace_by_project = {
        fact.placement.project_id: fact.placement.workspace_id
        for facts_by_experiment in facts
        for experiment_facts in facts_by_experiment.values()
        for fact in experiment_facts
        if fact.placement is not None
    }
    subjects = {*workspace_by_project, *workspace_by_project.values()}
    ended: dict[UUID, list[tuple[datetime, UUID]]] = defaultdict(list)
    for row in await select_facts(batch.tx, batch.organization_id, subjects, DELETION_TYPES):
        ended[row.subject_id].append((row.occurred_at, row.uid))
    return {
        project: sorted(ended[project] + ended[workspace])
        for project, workspace in workspace_by_project.items()
        if ended[project] or ended[workspace]
    }


def _book_corrections(batch: Batch, difference: Difference) -> None:
    """Book the changes of closed months, which also affect the stocks of later closed months."""
    for (month, placement), figures in difference.items():
        if month < batch.open_months[0]:
            batch.corrections.add_figures(month, placement, figures)
            for later in month.plus(1).through(batch.closed_months[-1]):
                batch.corrections.add_figures(
                    later, placement, figures.carry_forward(later.microseconds)
                )


async def _compute_difference(batch: Batch, stored: Facts, in_batch: Facts) -> Difference:
    """Return for each month and placement the figures with the batch minus those without it."""
    total: dict[tuple[Month, Placement], ExperimentFigures] = defaultdict(ExperimentFigures)
    project_ends = await _load_project_ends(batch, stored, in_batch)
    ends_with_batch = {
        project: [at for at, _ in moments] for project, moments in project_ends.items()
    }
    ends_without_batch = {
        project: [at for at, uid in moments if not batch.contains(uid)]
        for project, moments in project_ends.items()
    }
    for facts in stored.values():
        _add_changes(total, compute_stock_changes(facts, ends_without_batch), -1)
    for experiment in {**stored, **in_batch}:
        all_facts = [*stored.get(experiment, ()), *in_batch.get(experiment, ())]
        _add_changes(total, compute_stock_changes(all_facts, ends_with_batch), 1)
        if experiment in in_batch:
            _add_activity(total, stored.get(experiment, ()), all_facts)
    return {key: figures for key, figures in total.items() if figures}


def _add_changes(
    total: dict[tuple[Month, Placement], ExperimentFigures],
    changes: Iterable[StockChange],
    sign: int,
) -> None:
    for change in changes:
        month = Month.containing(change.occurred_at)
        remaining = microseconds(month.end - change.occurred_at)
        total[month, change.placement].add(change, remaining, sign)


def _add_activity(
    total: dict[tuple[Month, Placement], ExperimentFigures],
    stored: Sequence[ExperimentFact],
    all_facts: Sequence[ExperimentFact],
) -> None:
    known = find_last_activity(stored)
    for key, at in find_last_activity(all_facts).items():
        if known.get(key) != at:
            total[key].add_activity(at)


def _sum_rows(difference: Difference, key_of: Any) -> list[FiguresRow]:
    total: dict[tuple[Month, tuple[UUID, ...]], ExperimentFigures] = defaultdict(ExperimentFigures)
    for (month, placement), figures in difference.items():
        total[month, key_of(placement)].merge(figures)
    return [
        FiguresRow(month, keys, figures) for (month, keys), figures in total.items() if figures
    ]
