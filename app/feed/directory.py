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
    Kind,
    NewAccount,
    NewMembership,
    NewProject,
    NewWorkspace,
    Thing,
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
    AnyEvent,
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
from app.domain.months import Month
from app.domain.timelines import Life, exists_before, lives
from app.feed.batch import Batch

DEATHS = ("user.deleted", "workspace.deleted", "project.deleted", "member.removed")
"""The types of fact that end a life."""

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


async def store_directory(batch: Batch) -> set[UUID]:
    """Work out anew the lives of all that the batch says something new about.

    Returns:
        The projects that the batch, or the death of their workspace in it, ended at some time.
    """
    await insert_named(batch.tx, batch.organization_id, _named(batch.events))
    said = _said(batch.events)
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


def _named(events: Iterable[AnyEvent]) -> Mapping[type[NamedTuple], Collection[tuple[Any, ...]]]:
    """All things that the events name, whatever they say of them."""
    names = _Names()
    for event in events:
        names.take(event)
    return names.found


class _Names:
    def __init__(self) -> None:
        self.found: dict[type[NamedTuple], set[tuple[Any, ...]]] = defaultdict(set)

    def take(self, event: AnyEvent) -> None:
        match event:
            case UserUpsertedEvent() | UserDeletedEvent() | UsageRecordedEvent():
                self._user(event.data.username)
            case WorkspaceUpsertedEvent() | WorkspaceDeletedEvent():
                self._workspace(event.data.name)
            case MemberAddedEvent() | MemberRemovedEvent():
                self._member(event.data.workspace, event.data.username)
            case ProjectUpsertedEvent() | ProjectDeletedEvent():
                self._project(event.data.workspace, event.data.name)
            case ExperimentCreatedEvent():
                self._user(event.data.username)
                self._project(event.data.workspace, event.data.project)

    def _user(self, username: str) -> UUID:
        key = user_id(username)
        self.found[NewAccount].add((key, username))
        return key

    def _workspace(self, name: str) -> UUID:
        key = workspace_id(name)
        self.found[NewWorkspace].add((key, name))
        return key

    def _project(self, workspace: str, name: str) -> None:
        key = project_id(workspace, name)
        self.found[NewProject].add((key, self._workspace(workspace), name))

    def _member(self, workspace: str, username: str) -> None:
        key = member_id(workspace, username)
        self.found[NewMembership].add((key, self._workspace(workspace), self._user(username)))


Said = Mapping[Kind, Mapping[UUID, Sequence[datetime]]]


def _said(events: Iterable[AnyEvent]) -> Said:
    """When, by the word of these events, each thing existed."""
    found: dict[Kind, dict[UUID, list[datetime]]] = {
        kind: defaultdict(list) for kind in (WORKSPACE, PROJECT, MEMBERSHIP)
    }
    for event in events:
        for kind, key in _existing(event):
            found[kind][key].append(event.time)
    return found


def _existing(event: AnyEvent) -> Iterable[tuple[Kind, UUID]]:
    """What must exist for the event to have happened."""
    match event:
        case WorkspaceUpsertedEvent():
            yield WORKSPACE, workspace_id(event.data.name)
        case MemberAddedEvent():
            yield WORKSPACE, workspace_id(event.data.workspace)
            yield MEMBERSHIP, member_id(event.data.workspace, event.data.username)
        case ProjectUpsertedEvent():
            yield WORKSPACE, workspace_id(event.data.workspace)
            yield PROJECT, project_id(event.data.workspace, event.data.name)
        case ExperimentCreatedEvent():
            yield WORKSPACE, workspace_id(event.data.workspace)
            yield PROJECT, project_id(event.data.workspace, event.data.project)


def _ended(batch: Batch) -> set[UUID]:
    """What the batch says that ended: users, workspaces, projects, memberships."""
    return {
        *(user_id(event.data.username) for event in batch.of(UserDeletedEvent)),
        *(workspace_id(event.data.name) for event in batch.of(WorkspaceDeletedEvent)),
        *(project_id(e.data.workspace, e.data.name) for e in batch.of(ProjectDeletedEvent)),
        *(member_id(e.data.workspace, e.data.username) for e in batch.of(MemberRemovedEvent)),
    }


async def _touched(batch: Batch, kind: Kind, said: Said, ended: set[UUID]) -> dict[UUID, Thing]:
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


def _is_known(found: Sequence[Life], moments: Iterable[datetime]) -> bool:
    return all(
        any(life.born <= moment and (life.died is None or moment <= life.died) for life in found)
        for moment in moments
    )


async def _renew(
    batch: Batch, kind: Kind, table: MonthTable, things: Mapping[UUID, Thing]
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
    months: Sequence[Month], before: Sequence[Life], after: Sequence[Life]
) -> Iterable[tuple[Month, bool]]:
    """The months at whose end the thing exists now and did not, or the reverse."""
    for month in months:
        present = exists_before(after, month.end)
        if present != exists_before(before, month.end):
            yield month, present


def _month_keys(table: MonthTable, key: UUID, thing: Thing) -> tuple[UUID, ...]:
    """The key of a thing's month rows: a membership's is its workspace and its user."""
    return thing.parents if table is MEMBER_MONTH else (*thing.parents, key)


async def _lives(batch: Batch, kind: Kind, things: Mapping[UUID, Thing]) -> dict[UUID, list[Life]]:
    deaths = await _deaths(batch, things)
    eras = [era for key in things for era in _eras(key, deaths[key])]
    births: dict[UUID, list[datetime]] = defaultdict(list)
    for key, born_at in await select_first_births(
        batch.tx, batch.organization_id, eras, kind.table
    ):
        births[key].append(born_at)
    return {key: lives(births[key], deaths[key]) for key in things}


def _eras(key: UUID, deaths: Sequence[datetime]) -> Iterable[Era]:
    bounds = [_ALWAYS, *sorted(set(deaths)), _NEVER]
    return (Era(key, after, until) for after, until in pairwise(bounds))


async def _deaths(batch: Batch, things: Mapping[UUID, Thing]) -> dict[UUID, list[datetime]]:
    """When each thing, or something that it is part of, ended."""
    subjects = {*things}.union(*(thing.parents for thing in things.values()))
    ended: dict[UUID, list[datetime]] = defaultdict(list)
    for fact in await select_facts(batch.tx, batch.organization_id, subjects, DEATHS):
        ended[fact.subject_id].append(fact.occurred_at)
    return {
        key: [moment for source in (key, *thing.parents) for moment in ended[source]]
        for key, thing in things.items()
    }
