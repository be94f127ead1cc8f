"""Workspaces and projects: MLflow's experiments, and where they are counted."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    DUE,
    PROJECTS,
    WORKSPACES,
    BatchBuilder,
    models_family,
    read_known,
    runs_family,
    written,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowExperiment
from app.connectors.mlflow.runs import place_line, run_deleted
from app.domain.sources import SourceBatch

Places = Mapping[str, ProjectKey]
"""Where each experiment is counted, by its id."""


class _Told(msgspec.Struct, array_like=True):
    """Where an experiment was counted, and when it had last been updated then."""

    workspace: str
    project: str
    updated_ms: int

    @property
    def place(self) -> ProjectKey:
        return ProjectKey(self.workspace, self.project)


_read = msgspec.json.Decoder(_Told).decode


async def read_projects(
    context: LoadContext, experiments: Sequence[MlflowExperiment], places: Places
) -> AsyncIterator[SourceBatch]:
    """Projects that are new, have another place, or are gone; and MLflow's workspaces."""
    known = {key: _read(value) for key, value in (await context.load_checkpoint(PROJECTS)).items()}
    gone = known.keys() - {each.experiment_id for each in experiments}
    context.insist_on_most("experiments", len(gone), len(known))
    if context.rule.follows_mlflow:
        yield await _workspaces(context, experiments)
    for experiment in experiments:
        before = known.pop(experiment.experiment_id, None)
        if before is None:
            yield _new(context, experiment, places)
        elif before.place != places[experiment.experiment_id]:
            yield await _moved(context, experiment, before, places)
    for experiment_id, before in sorted(known.items()):
        yield await _gone(context, experiment_id, before.place, places)


async def _workspaces(
    context: LoadContext, experiments: Sequence[MlflowExperiment]
) -> SourceBatch:
    """MLflow's workspaces, those that hold nothing yet included, where it keeps any.

    What experiments are in is there, whether or not it is listed: a server with the feature
    switched off lists none, and its database does.
    """
    names = {*await context.store.workspaces(), *(each.workspace for each in experiments)}
    known = set(await context.load_checkpoint(WORKSPACES))
    draft, line, now = BatchBuilder(), context.events.line, context.now_ms
    for name in sorted(names - known):
        created = (each.created_ms for each in experiments if each.workspace == name)
        at = min((at for at in created if at is not None), default=now)
        draft.lines.append(line(f"workspace/{name}/{at}", "workspace.upserted", at, name=name))
        draft.remember(WORKSPACES, name, "")
    for name in sorted(known - names):
        id_ = f"workspace/{name}/{now}/deleted"
        draft.lines.append(line(id_, "workspace.deleted", now, name=name))
        draft.remember(WORKSPACES, name, None)
    return draft.build()


def _new(context: LoadContext, experiment: MlflowExperiment, places: Places) -> SourceBatch:
    draft = BatchBuilder()
    _announce(context, draft, experiment, places, experiment.created_ms or context.now_ms)
    return draft.build()


def _announce(
    context: LoadContext,
    draft: BatchBuilder,
    experiment: MlflowExperiment,
    places: Places,
    at: int,
) -> None:
    id_ = experiment.experiment_id
    place = places[id_]
    draft.lines.append(
        context.events.line(
            f"experiment/{id_}/{at}",
            "project.upserted",
            at,
            workspace=place.workspace,
            name=place.project,
        )
    )
    updated = experiment.updated_ms or context.now_ms
    draft.remember(PROJECTS, id_, written(_Told(*place, updated)))


async def _moved(
    context: LoadContext, experiment: MlflowExperiment, before: _Told, places: Places
) -> SourceBatch:
    """An experiment that was renamed, or is mapped elsewhere now, takes its runs along."""
    updated = experiment.updated_ms or 0
    at = updated if updated > before.updated_ms else context.now_ms
    draft = BatchBuilder()
    _announce(context, draft, experiment, places, at)
    family = runs_family(experiment.experiment_id)
    for run_id, value in (await context.load_checkpoint(family)).items():
        known = read_known(value)
        known.workspace, known.project = places[experiment.experiment_id]
        moved_at = max(at, known.start_ms)
        draft.lines.append(place_line(context.events, run_id, known, moved_at, moved=True))
        draft.remember(family, run_id, written(known))
    if before.place not in places.values():
        draft.lines.append(_deleted(context, before.place, at))
    return draft.build()


async def _gone(
    context: LoadContext, experiment_id: str, place: ProjectKey, places: Places
) -> SourceBatch:
    """An experiment that was deleted for good, with its runs."""
    draft = BatchBuilder()
    draft.remember(PROJECTS, experiment_id, None)
    shared = place in places.values()
    if not shared:
        draft.lines.append(_deleted(context, place, context.now_ms))
    for run_id, value in (await context.load_checkpoint(runs_family(experiment_id))).items():
        if shared:
            draft.lines.append(
                run_deleted(context.events, run_id, read_known(value), context.now_ms)
            )
        draft.remember(runs_family(experiment_id), run_id, None)
        draft.remember(DUE, run_id, None)
    for model_id in await context.load_checkpoint(models_family(experiment_id)):
        draft.remember(models_family(experiment_id), model_id, None)
    return draft.build()


def _deleted(context: LoadContext, place: ProjectKey, at: int) -> bytes:
    return context.events.line(
        f"project/{written(place)}/{at}/deleted",
        "project.deleted",
        at,
        workspace=place.workspace,
        name=place.project,
    )
