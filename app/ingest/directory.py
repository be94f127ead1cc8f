"""The directory: lifespans of workspaces, projects and memberships, and presence in months.

A reference proves existence (ADR 0004): an experiment in a project proves that the project and
its workspace exist at that time. So the lifespans of an entity follow from every event that names
it as existing, and from its own deletions and those of its parents.

Most batches change no lifespan, because the events fall into lifespans that are known already.
Only entities with an event outside of their lifespans, or with a deletion, are recomputed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from app.db.directory import (
    MEMBERSHIP,
    PROJECT,
    WORKSPACE,
    Entity,
    EntityKind,
    NewMembership,
    NewProject,
    NewUser,
    NewWorkspace,
    insert_entities,
    select_entities,
    update_lifespans,
)
from app.db.events import Era, select_facts, select_first_starts
from app.db.month_states import PresenceRow, set_presence
from app.db.months import (
    MEMBER_MONTH,
    PROJECT_MONTH,
    WORKSPACE_MONTH,
    MonthTable,
    restore_activity,
)
from app.domain.events import (
    ExperimentCreatedEvent,
    MemberAddedEvent,
    MemberRemovedEvent,
    ProjectDeletedEvent,
    ProjectUpsertedEvent,
    UsageRecordedEvent,
    UserDeletedEvent,
    UserUpsertedEvent,
    WorkspaceDeletedEvent,
    WorkspaceUpsertedEvent,
)
from app.domain.figures import Figure
from app.domain.ids import (
    member_id,
    project_id,
    user_id,
    workspace_id,
)
from app.domain.lifespans import Lifespan, build_lifespans, existed_before
from app.domain.months import Month
from app.ingest.batch import Batch

DELETION_TYPES = ("user.deleted", "workspace.deleted", "project.deleted", "member.removed")
"""The event types that end a lifespan."""

_BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


async def store_directory(batch: Batch) -> set[UUID]:
    """Recompute and store the lifespans that the batch changes.

    Returns:
        The projects that the batch deleted, directly or with their workspace.
    """
    await insert_entities(batch.tx, batch.organization_id, _named_entities(batch))
    seen_at = _existence_times(batch)
    deleted = _deleted_in(batch)
    projects = await _affected_entities(batch, PROJECT, seen_at, deleted)
    members = await _affected_entities(batch, MEMBERSHIP, seen_at, deleted)
    workspaces = await _affected_entities(batch, WORKSPACE, seen_at, deleted)
    await _update_lifespans(batch, PROJECT, PROJECT_MONTH, projects)
    await _update_lifespans(batch, MEMBERSHIP, MEMBER_MONTH, members)
    # Last, because starting a project or a membership also proves that its workspace exists.
    await _update_lifespans(batch, WORKSPACE, WORKSPACE_MONTH, workspaces)
    return {
        key for key, project in projects.items() if key in deleted or deleted & {*project.parents}
    }


def _named_entities(batch: Batch) -> Mapping[type[NamedTuple], Collection[tuple[Any, ...]]]:
    """Return all entities that the batch names, by table."""
    memberships, projects = _named_memberships(batch), _named_projects(batch)
    workspaces = {
        each.name for each in batch.data_of(WorkspaceUpsertedEvent, WorkspaceDeletedEvent)
    }.union(workspace for workspace, _ in (*memberships, *projects))
    usernames = {each.username for each in batch.data_of(*_EVENTS_NAMING_USERS)}.union(
        username for _, username in memberships
    )
    return {
        NewUser: [(user_id(name), name) for name in usernames],
        NewWorkspace: [(workspace_id(name), name) for name in workspaces],
        NewProject: [
            (project_id(workspace, name), workspace_id(workspace), name)
            for workspace, name in projects
        ],
        NewMembership: [
            (member_id(workspace, username), workspace_id(workspace), user_id(username))
            for workspace, username in memberships
        ],
    }


def _named_memberships(batch: Batch) -> set[tuple[str, str]]:
    """Return pairs of workspace and username."""
    data = batch.data_of(MemberAddedEvent, MemberRemovedEvent)
    return {(each.workspace, each.username) for each in data}


def _named_projects(batch: Batch) -> set[tuple[str, str]]:
    """Return pairs of workspace and project name."""
    data = batch.data_of(ProjectUpsertedEvent, ProjectDeletedEvent)
    created = batch.data_of(ExperimentCreatedEvent)
    return {(each.workspace, each.name) for each in data} | {
        (each.workspace, each.project) for each in created
    }


_EVENTS_NAMING_USERS = (
    UserUpsertedEvent,
    UserDeletedEvent,
    UsageRecordedEvent,
    ExperimentCreatedEvent,
)


ExistenceTimes = Mapping[EntityKind, Mapping[UUID, Sequence[datetime]]]


def _existence_times(batch: Batch) -> ExistenceTimes:
    """Return the times at which the batch proves that each entity exists."""
    workspaces: dict[UUID, list[datetime]] = defaultdict(list)
    projects: dict[UUID, list[datetime]] = defaultdict(list)
    members: dict[UUID, list[datetime]] = defaultdict(list)
    for event in batch.events_of(WorkspaceUpsertedEvent):
        workspaces[workspace_id(event.data.name)].append(event.time)
    for added in batch.events_of(MemberAddedEvent):
        workspaces[workspace_id(added.data.workspace)].append(added.time)
        members[member_id(added.data.workspace, added.data.username)].append(added.time)
    for upserted in batch.events_of(ProjectUpsertedEvent):
        workspaces[workspace_id(upserted.data.workspace)].append(upserted.time)
        projects[project_id(upserted.data.workspace, upserted.data.name)].append(upserted.time)
    for created in batch.events_of(ExperimentCreatedEvent):
        workspaces[workspace_id(created.data.workspace)].append(created.time)
        projects[project_id(created.data.workspace, created.data.project)].append(created.time)
    return {WORKSPACE: workspaces, PROJECT: projects, MEMBERSHIP: members}


def _deleted_in(batch: Batch) -> set[UUID]:
    """Return the users, workspaces, projects and memberships that the batch deletes."""
    return {
        *(user_id(each.username) for each in batch.data_of(UserDeletedEvent)),
        *(workspace_id(each.name) for each in batch.data_of(WorkspaceDeletedEvent)),
        *(project_id(each.workspace, each.name) for each in batch.data_of(ProjectDeletedEvent)),
        *(member_id(each.workspace, each.username) for each in batch.data_of(MemberRemovedEvent)),
    }


async def _affected_entities(
    batch: Batch, kind: EntityKind, seen_at: ExistenceTimes, deleted: set[UUID]
) -> dict[UUID, Entity]:
    """Return the entities of a kind whose lifespans the batch may change."""
    keys = deleted | {*seen_at[kind]}
    found = await select_entities(batch.tx, batch.organization_id, kind, keys)
    affected = {
        key: entity
        for key, entity in found.items()
        if key in deleted or not _are_covered(entity.lifespans, seen_at[kind].get(key, ()))
    }
    for parent in kind.parents:
        affected |= await select_entities(
            batch.tx, batch.organization_id, kind, deleted, by=parent
        )
    return affected


def _are_covered(lifespans: Sequence[Lifespan], instants: Iterable[datetime]) -> bool:
    return all(
        any(
            lifespan.started_at <= instant
            and (lifespan.ended_at is None or instant <= lifespan.ended_at)
            for lifespan in lifespans
        )
        for instant in instants
    )


async def _update_lifespans(
    batch: Batch, kind: EntityKind, table: MonthTable, entities: Mapping[UUID, Entity]
) -> None:
    if not entities:
        return
    recomputed = await _compute_lifespans(batch, kind, entities)
    changed = {
        key: lifespans
        for key, lifespans in recomputed.items()
        if lifespans != entities[key].lifespans
    }
    if not changed:
        return
    await update_lifespans(batch.tx, batch.organization_id, kind, changed)
    rows = []
    for key, lifespans in changed.items():
        entity = entities[key]
        row_key = _month_keys(table, key, entity)
        ids = dict(zip(table.keys, row_key, strict=True))
        for month, present in _presence_changes(batch.open_months, entity.lifespans, lifespans):
            rows.append(PresenceRow(month, row_key, present))
        for month, present in _presence_changes(batch.closed_months, entity.lifespans, lifespans):
            batch.corrections.add(month, _PRESENCE_FIGURE[table], 1 if present else -1, **ids)
    if rows:
        await set_presence(batch.tx, batch.organization_id, table, rows)
    existed = {_month_keys(table, key, each) for key, each in entities.items() if each.lifespans}
    resumed = [(row.month, row.keys) for row in rows if row.present and row.keys in existed]
    known_months = [*batch.closed_months, *batch.open_months]
    await restore_activity(batch.tx, batch.organization_id, table, resumed, known_months)


_PRESENCE_FIGURE = {
    WORKSPACE_MONTH: Figure.WORKSPACES,
    PROJECT_MONTH: Figure.PROJECTS,
    MEMBER_MONTH: Figure.MEMBERS,
}


def _presence_changes(
    months: Sequence[Month], before: Sequence[Lifespan], after: Sequence[Lifespan]
) -> Iterable[tuple[Month, bool]]:
    """Yield the months at whose end the entity newly exists, or no longer does."""
    for month in months:
        present = existed_before(after, month.end)
        if present != existed_before(before, month.end):
            yield month, present


def _month_keys(table: MonthTable, key: UUID, entity: Entity) -> tuple[UUID, ...]:
    """Return the key of an entity's month rows; for a membership, its workspace and user."""
    return entity.parents if table is MEMBER_MONTH else (*entity.parents, key)


async def _compute_lifespans(
    batch: Batch, kind: EntityKind, entities: Mapping[UUID, Entity]
) -> dict[UUID, list[Lifespan]]:
    ends = await _load_ends(batch, entities)
    eras = [era for key in entities for era in _eras(key, ends[key])]
    starts: dict[UUID, list[datetime]] = defaultdict(list)
    for key, started_at in await select_first_starts(
        batch.tx, batch.organization_id, eras, kind.table
    ):
        starts[key].append(started_at)
    return {key: build_lifespans(starts[key], ends[key]) for key in entities}


def _eras(key: UUID, ends: Sequence[datetime]) -> Iterable[Era]:
    bounds = [_BEGINNING_OF_TIME, *sorted(set(ends)), _END_OF_TIME]
    return (Era(key, after, until) for after, until in pairwise(bounds))


async def _load_ends(batch: Batch, entities: Mapping[UUID, Entity]) -> dict[UUID, list[datetime]]:
    """Return when each entity or one of its parents was deleted."""
    subjects = {*entities}.union(*(entity.parents for entity in entities.values()))
    ended: dict[UUID, list[datetime]] = defaultdict(list)
    for fact in await select_facts(batch.tx, batch.organization_id, subjects, DELETION_TYPES):
        ended[fact.subject_id].append(fact.occurred_at)
    return {
        key: [ended_at for each in (key, *entity.parents) for ended_at in ended[each]]
        for key, entity in entities.items()
    }
