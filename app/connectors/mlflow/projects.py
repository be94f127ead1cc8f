"""Workspaces and projects: MLflow's experiments, and where they are counted."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    DUE,
    PROJECTS,
    WORKSPACES,
    Draft,
    models_of,
    read_known,
    runs_of,
    written,
)
from app.connectors.mlflow.facts import Experiment
from app.connectors.mlflow.mapping import Place
from app.connectors.mlflow.reading import Reading
from app.connectors.mlflow.runs import place_line, run_deleted
from app.domain.sources import SourceBatch

Places = Mapping[str, Place]
"""Where each experiment is counted, by its id."""


class _Told(msgspec.Struct, array_like=True):
    """Where an experiment was counted, and when it had last been updated then."""

    workspace: str
    project: str
    updated_ms: int

    @property
    def place(self) -> Place:
        return Place(self.workspace, self.project)


_read = msgspec.json.Decoder(_Told).decode


async def read_projects(
    reading: Reading, experiments: Sequence[Experiment], places: Places
) -> AsyncIterator[SourceBatch]:
    """Projects that are new, have another place, or are gone; and MLflow's workspaces."""
    known = {key: _read(value) for key, value in (await reading.recall(PROJECTS)).items()}
    gone = known.keys() - {each.experiment_id for each in experiments}
    reading.insist_on_most("experiments", len(gone), len(known))
    if reading.rule.follows_mlflow:
        yield await _workspaces(reading, experiments)
    for experiment in experiments:
        before = known.pop(experiment.experiment_id, None)
        if before is None:
            yield _new(reading, experiment, places)
        elif before.place != places[experiment.experiment_id]:
            yield await _moved(reading, experiment, before, places)
    for experiment_id, before in sorted(known.items()):
        yield await _gone(reading, experiment_id, before.place, places)


async def _workspaces(reading: Reading, experiments: Sequence[Experiment]) -> SourceBatch:
    """MLflow's workspaces, those that hold nothing yet included, where it keeps any.

    What experiments are in is there, whether or not it is listed: a server with the feature
    switched off lists none, and its database does.
    """
    names = {*await reading.store.workspaces(), *(each.workspace for each in experiments)}
    known = set(await reading.recall(WORKSPACES))
    draft, line, now = Draft(), reading.events.line, reading.now_ms
    for name in sorted(names - known):
        created = (each.created_ms for each in experiments if each.workspace == name)
        at = min((at for at in created if at is not None), default=now)
        draft.lines.append(line(f"workspace/{name}/{at}", "workspace.upserted", at, name=name))
        draft.remember(WORKSPACES, name, "")
    for name in sorted(known - names):
        id_ = f"workspace/{name}/{now}/deleted"
        draft.lines.append(line(id_, "workspace.deleted", now, name=name))
        draft.remember(WORKSPACES, name, None)
    return draft.brought()


def _new(reading: Reading, experiment: Experiment, places: Places) -> SourceBatch:
    draft = Draft()
    _announce(reading, draft, experiment, places, experiment.created_ms or reading.now_ms)
    return draft.brought()


def _announce(
    reading: Reading, draft: Draft, experiment: Experiment, places: Places, at: int
) -> None:
    id_ = experiment.experiment_id
    place = places[id_]
    draft.lines.append(
        reading.events.line(
            f"experiment/{id_}/{at}",
            "project.upserted",
            at,
            workspace=place.workspace,
            name=place.project,
        )
    )
    updated = experiment.updated_ms or reading.now_ms
    draft.remember(PROJECTS, id_, written(_Told(*place, updated)))


async def _moved(
    reading: Reading, experiment: Experiment, before: _Told, places: Places
) -> SourceBatch:
    """An experiment that was renamed, or is mapped elsewhere now, takes its runs along."""
    updated = experiment.updated_ms or 0
    at = updated if updated > before.updated_ms else reading.now_ms
    draft = Draft()
    _announce(reading, draft, experiment, places, at)
    family = runs_of(experiment.experiment_id)
    for run_id, value in (await reading.recall(family)).items():
        known = read_known(value)
        known.workspace, known.project = places[experiment.experiment_id]
        moved_at = max(at, known.start_ms)
        draft.lines.append(place_line(reading.events, run_id, known, moved_at, moved=True))
        draft.remember(family, run_id, written(known))
    if before.place not in places.values():
        draft.lines.append(_deleted(reading, before.place, at))
    return draft.brought()


async def _gone(reading: Reading, experiment_id: str, place: Place, places: Places) -> SourceBatch:
    """An experiment that was deleted for good, with its runs."""
    draft = Draft()
    draft.remember(PROJECTS, experiment_id, None)
    shared = place in places.values()
    if not shared:
        draft.lines.append(_deleted(reading, place, reading.now_ms))
    for run_id, value in (await reading.recall(runs_of(experiment_id))).items():
        if shared:
            draft.lines.append(
                run_deleted(reading.events, run_id, read_known(value), reading.now_ms)
            )
        draft.remember(runs_of(experiment_id), run_id, None)
        draft.remember(DUE, run_id, None)
    for model_id in await reading.recall(models_of(experiment_id)):
        draft.remember(models_of(experiment_id), model_id, None)
    return draft.brought()


def _deleted(reading: Reading, place: Place, at: int) -> bytes:
    return reading.events.line(
        f"project/{written(place)}/{at}/deleted",
        "project.deleted",
        at,
        workspace=place.workspace,
        name=place.project,
    )
