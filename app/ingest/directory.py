"""What exists, and from when to when: workspaces, projects and memberships."""

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
    NewAccount,
    NewMembership,
    NewProject,
    NewWorkspace,
    insert_named,
    select_things,
    update_lives,
)
from app.db.events import Era, select_facts, select_first_births
from app.db.months import (
    MEMBER_MONTH,
    PROJECT_MONTH,
    WORKSPACE_MONTH,
    MonthTable,
    PresenceRow,
    set_presence,
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

DEATHS = ("user.deleted", "workspace.deleted", "project.deleted", "member.removed")
"""The types of fact that end a life."""

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


async def store_directory(batch: Batch) -> set[UUID]:
    """Work out anew the lives of all that the batch says something new about.

    Returns:
        The projects that the batch, or the death of their workspace in it, ended at some time.
    """
    await insert_named(batch.tx, batch.organization_id, _named(batch))
    said = _said(batch)
    mortal = _ended(batch)
    projects = await _touched(batch, PROJECT, said, mortal)
    members = await _touched(batch, MEMBERSHIP, said, mortal)
    workspaces = await _touched(batch, WORKSPACE, said, mortal)
    await _renew(batch, PROJECT, PROJECT_MONTH, projects)
    await _renew(batch, MEMBERSHIP, MEMBER_MONTH, members)
    # Last, since a workspace exists wherever a project or a membership of it begins.
    await _renew(batch, WORKSPACE, WORKSPACE_MONTH, workspaces)
    return {
        key for key, project in projects.items() if key in mortal or mortal & {*project.parents}
    }


def _named(batch: Batch) -> Mapping[type[NamedTuple], Collection[tuple[Any, ...]]]:
    """All things that the events name, whatever they say of them."""
    memberships, projects = _memberships_named(batch), _projects_named(batch)
    workspaces = {
        said.name for said in batch.said_by(WorkspaceUpsertedEvent, WorkspaceDeletedEvent)
    }.union(workspace for workspace, _ in (*memberships, *projects))
    usernames = {said.username for said in batch.said_by(*_OF_USERS)}.union(
        username for _, username in memberships
    )
    return {
        NewAccount: [(user_id(name), name) for name in usernames],
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


def _memberships_named(batch: Batch) -> set[tuple[str, str]]:
    """As workspace and username."""
    said_of = batch.said_by(MemberAddedEvent, MemberRemovedEvent)
    return {(said.workspace, said.username) for said in said_of}


def _projects_named(batch: Batch) -> set[tuple[str, str]]:
    """As workspace and name."""
    said_of = batch.said_by(ProjectUpsertedEvent, ProjectDeletedEvent)
    created = batch.said_by(ExperimentCreatedEvent)
    return {(said.workspace, said.name) for said in said_of} | {
        (said.workspace, said.project) for said in created
    }


_OF_USERS = (UserUpsertedEvent, UserDeletedEvent, UsageRecordedEvent, ExperimentCreatedEvent)


Said = Mapping[EntityKind, Mapping[UUID, Sequence[datetime]]]


def _said(batch: Batch) -> Said:
    """When, by the word of the batch, each thing existed."""
    workspaces: dict[UUID, list[datetime]] = defaultdict(list)
    projects: dict[UUID, list[datetime]] = defaultdict(list)
    members: dict[UUID, list[datetime]] = defaultdict(list)
    for event in batch.of(WorkspaceUpsertedEvent):
        workspaces[workspace_id(event.data.name)].append(event.time)
    for added in batch.of(MemberAddedEvent):
        workspaces[workspace_id(added.data.workspace)].append(added.time)
        members[member_id(added.data.workspace, added.data.username)].append(added.time)
    for upserted in batch.of(ProjectUpsertedEvent):
        workspaces[workspace_id(upserted.data.workspace)].append(upserted.time)
        projects[project_id(upserted.data.workspace, upserted.data.name)].append(upserted.time)
    for created in batch.of(ExperimentCreatedEvent):
        workspaces[workspace_id(created.data.workspace)].append(created.time)
        projects[project_id(created.data.workspace, created.data.project)].append(created.time)
    return {WORKSPACE: workspaces, PROJECT: projects, MEMBERSHIP: members}


def _ended(batch: Batch) -> set[UUID]:
    """What the batch says that ended: users, workspaces, projects, memberships."""
    return {
        *(user_id(said.username) for said in batch.said_by(UserDeletedEvent)),
        *(workspace_id(said.name) for said in batch.said_by(WorkspaceDeletedEvent)),
        *(project_id(said.workspace, said.name) for said in batch.said_by(ProjectDeletedEvent)),
        *(member_id(said.workspace, said.username) for said in batch.said_by(MemberRemovedEvent)),
    }


async def _touched(
    batch: Batch, kind: EntityKind, said: Said, ended: set[UUID]
) -> dict[UUID, Entity]:
    """The things of a kind whose lives the batch may change."""
    keys = ended | {*said[kind]}
    found = await select_things(batch.tx, batch.organization_id, kind, keys)
    touched = {
        key: thing
        for key, thing in found.items()
        if key in ended or not _is_known(thing.lives, said[kind].get(key, ()))
    }
    for parent in kind.parents:
        touched |= await select_things(batch.tx, batch.organization_id, kind, ended, by=parent)
    return touched


def _is_known(found: Sequence[Lifespan], moments: Iterable[datetime]) -> bool:
    return all(
        any(
            life.started_at <= moment and (life.ended_at is None or moment <= life.ended_at)
            for life in found
        )
        for moment in moments
    )


async def _renew(
    batch: Batch, kind: EntityKind, table: MonthTable, things: Mapping[UUID, Entity]
) -> None:
    if not things:
        return
    renewed = await _lives(batch, kind, things)
    changed = {key: found for key, found in renewed.items() if found != things[key].lives}
    if changed:
        await update_lives(batch.tx, batch.organization_id, kind, changed)
    rows = [
        PresenceRow(month, _month_keys(table, key, things[key]), present)
        for key, found in changed.items()
        for month, present in _presence(batch.months, things[key].lives, found)
    ]
    if rows:
        await set_presence(batch.tx, batch.organization_id, table, rows)
    for key, found in changed.items():
        ids = dict(zip(table.keys, _month_keys(table, key, things[key]), strict=True))
        for month, present in _presence(batch.closed, things[key].lives, found):
            batch.late.add(month, _COUNTED_AS[table], 1 if present else -1, **ids)


_COUNTED_AS = {
    WORKSPACE_MONTH: Figure.WORKSPACES,
    PROJECT_MONTH: Figure.PROJECTS,
    MEMBER_MONTH: Figure.MEMBERS,
}


def _presence(
    months: Sequence[Month], before: Sequence[Lifespan], after: Sequence[Lifespan]
) -> Iterable[tuple[Month, bool]]:
    """The months at whose end the thing exists now and did not, or the reverse."""
    for month in months:
        present = existed_before(after, month.end)
        if present != existed_before(before, month.end):
            yield month, present


def _month_keys(table: MonthTable, key: UUID, thing: Entity) -> tuple[UUID, ...]:
    """The key of a thing's month rows: a membership's is its workspace and its user."""
    return thing.parents if table is MEMBER_MONTH else (*thing.parents, key)


async def _lives(
    batch: Batch, kind: EntityKind, things: Mapping[UUID, Entity]
) -> dict[UUID, list[Lifespan]]:
    deaths = await _deaths(batch, things)
    eras = [era for key in things for era in _eras(key, deaths[key])]
    births: dict[UUID, list[datetime]] = defaultdict(list)
    for key, started_at in await select_first_births(
        batch.tx, batch.organization_id, eras, kind.table
    ):
        births[key].append(started_at)
    return {key: build_lifespans(births[key], deaths[key]) for key in things}


def _eras(key: UUID, deaths: Sequence[datetime]) -> Iterable[Era]:
    bounds = [_ALWAYS, *sorted(set(deaths)), _NEVER]
    return (Era(key, after, until) for after, until in pairwise(bounds))


async def _deaths(batch: Batch, things: Mapping[UUID, Entity]) -> dict[UUID, list[datetime]]:
    """When each thing, or something that it is part of, ended."""
    subjects = {*things}.union(*(thing.parents for thing in things.values()))
    ended: dict[UUID, list[datetime]] = defaultdict(list)
    for fact in await select_facts(batch.tx, batch.organization_id, subjects, DEATHS):
        ended[fact.subject_id].append(fact.occurred_at)
    return {
        key: [moment for source in (key, *thing.parents) for moment in ended[source]]
        for key, thing in things.items()
    }
