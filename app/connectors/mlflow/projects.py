"""Read workspaces and projects: MLflow's experiments, mapped to the report's projects."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from app.connectors.mlflow.checkpoint import (
    PROJECTS,
    WORKSPACES,
    BatchBuilder,
    decode_run,
    encode,
    load_ends,
    models_family,
    runs_family,
)
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowExperiment
from app.connectors.mlflow.runs import forget_run, format_moved_run, report_deleted_run
from app.connectors.mlflow.users import UserTracker
from app.domain.sources import SourceBatch

_EXPERIMENT, _WORKSPACE = "experiment", "workspace"
Projects = Mapping[str, ProjectKey]
"""The project of each experiment, by experiment id."""


class ProjectCheckpoint(msgspec.Struct, array_like=True):
    """The project of an experiment when it was last reported, and its last update then."""

    workspace: str
    project: str
    updated_ms: int

    @property
    def key(self) -> ProjectKey:
        """Return the workspace and project."""
        return ProjectKey(self.workspace, self.project)


_decode_project = msgspec.json.Decoder(ProjectCheckpoint).decode


async def read_projects(
    context: LoadContext,
    experiments: Sequence[MlflowExperiment],
    projects: Projects,
    users: UserTracker,
) -> AsyncIterator[SourceBatch]:
    """Yield new, moved and deleted projects, and MLflow's workspaces."""
    stored = await context.load_checkpoint(PROJECTS)
    known = {key: _decode_project(value) for key, value in stored.items()}
    missing = known.keys() - {each.experiment_id for each in experiments}
    context.require_most_present("experiments", len(missing), len(known))
    if context.rule.follows_mlflow:
        yield await _report_workspaces(context, experiments, users)
    new = [each.experiment_id for each in experiments if each.experiment_id not in known]
    ends = await load_ends(context.load_checkpoint, _EXPERIMENT, new)
    for experiment in experiments:
        before = known.pop(experiment.experiment_id, None)
        if before is None:
            ended_ms = ends.get(experiment.experiment_id, 0)
            yield _report_new_experiment(context, experiment, projects, ended_ms)
        elif before.key != projects[experiment.experiment_id]:
            yield await _report_moved_experiment(context, experiment, before, projects, users)
    for experiment_id, before in sorted(known.items()):
        yield await _report_deleted_experiment(context, experiment_id, before.key, projects)


async def _report_workspaces(
    context: LoadContext, experiments: Sequence[MlflowExperiment], users: UserTracker
) -> SourceBatch:
    """Report MLflow's workspaces, including empty ones.

    A workspace that has experiments exists even if it is not listed: a server whose workspaces
    feature is off lists none, but its database still has them.
    """
    names = {*await context.store.workspaces(), *(each.workspace for each in experiments)}
    known = set(await context.load_checkpoint(WORKSPACES))
    batch, format_event, now = BatchBuilder(), context.events.format_event, context.now_ms
    ends = await load_ends(context.load_checkpoint, _WORKSPACE)
    for name in sorted(names - known):
        created = (each.created_ms for each in experiments if each.workspace == name)
        at = min((at for at in created if at is not None), default=now)
        at = max(at, ends.get(name, 0) + 1)
        id_ = f"workspace/{name}/{at}"
        batch.lines.append(format_event(id_, "workspace.upserted", at, name=name))
        batch.set_checkpoint(WORKSPACES, name, "")
    for name in sorted(known - names):
        id_ = f"workspace/{name}/{now}/deleted"
        batch.lines.append(format_event(id_, "workspace.deleted", now, name=name))
        batch.set_checkpoint(WORKSPACES, name, None)
        batch.record_end(_WORKSPACE, name, now)
        users.forget_members(batch, now, workspace=name)
    return batch.build()


def _report_new_experiment(
    context: LoadContext, experiment: MlflowExperiment, projects: Projects, ended_ms: int
) -> SourceBatch:
    batch = BatchBuilder()
    at = max(experiment.created_ms or context.now_ms, ended_ms + 1)
    _report_project(context, batch, experiment, projects, at)
    return batch.build()


def _report_project(
    context: LoadContext,
    batch: BatchBuilder,
    experiment: MlflowExperiment,
    projects: Projects,
    at: int,
) -> None:
    id_ = experiment.experiment_id
    key = projects[id_]
    batch.lines.append(
        context.events.format_event(
            f"experiment/{id_}/{at}",
            "project.upserted",
            at,
            workspace=key.workspace,
            name=key.project,
        )
    )
    updated = experiment.updated_ms or context.now_ms
    batch.set_checkpoint(PROJECTS, id_, encode(ProjectCheckpoint(*key, updated)))


async def _report_moved_experiment(
    context: LoadContext,
    experiment: MlflowExperiment,
    before: ProjectCheckpoint,
    projects: Projects,
    users: UserTracker,
) -> SourceBatch:
    """Move the runs of an experiment that was renamed or is mapped to another workspace.

    Their owners are members of the other workspace from then on.
    """
    updated = experiment.updated_ms or 0
    at = updated if updated > before.updated_ms else context.now_ms
    batch = BatchBuilder()
    _report_project(context, batch, experiment, projects, at)
    family = runs_family(experiment.experiment_id)
    for run_id, value in (await context.load_checkpoint(family)).items():
        run = decode_run(value)
        run.workspace, run.project = projects[experiment.experiment_id]
        run.placed_ms = max(at, run.placed_ms + 1)
        batch.lines.append(format_moved_run(context.events, run_id, run))
        users.record_activity(batch, run.owner, run.workspace, run.placed_ms)
        batch.set_checkpoint(family, run_id, encode(run))
    if before.key not in projects.values():
        batch.lines.append(_format_deleted_project(context, before.key, at))
    return batch.build()


async def _report_deleted_experiment(
    context: LoadContext, experiment_id: str, key: ProjectKey, projects: Projects
) -> SourceBatch:
    """End an experiment that was deleted permanently, with its runs."""
    batch = BatchBuilder()
    batch.set_checkpoint(PROJECTS, experiment_id, None)
    batch.record_end(_EXPERIMENT, experiment_id, context.now_ms)
    is_shared = key in projects.values()
    if not is_shared:
        batch.lines.append(_format_deleted_project(context, key, context.now_ms))
    for run_id, value in (await context.load_checkpoint(runs_family(experiment_id))).items():
        if is_shared:
            report_deleted_run(context, batch, experiment_id, run_id, decode_run(value))
        else:
            forget_run(batch, experiment_id, run_id, context.now_ms)
    for model_id in await context.load_checkpoint(models_family(experiment_id)):
        batch.set_checkpoint(models_family(experiment_id), model_id, None)
    return batch.build()


def _format_deleted_project(context: LoadContext, key: ProjectKey, at: int) -> bytes:
    return context.events.format_event(
        f"project/{encode(key)}/{at}/deleted",
        "project.deleted",
        at,
        workspace=key.workspace,
        name=key.project,
    )
