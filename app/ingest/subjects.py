"""What events are about: the ids of the things, as the event table names them."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from app.domain.events import (
    AnyEvent,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentResizedEvent,
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
from app.domain.ids import experiment_id, member_id, project_id, user_id, workspace_id


def subject_of(event: AnyEvent) -> UUID:
    """The thing whose timeline the event belongs to; of usage its user."""
    return _SUBJECTS[type(event)](event.data)


def parent_of(event: AnyEvent) -> UUID | None:
    """The project of an experiment that is created; None of any other event."""
    if isinstance(event, ExperimentCreatedEvent):
        return project_id(event.data.workspace, event.data.project)
    return None


_SUBJECTS: Mapping[type, Callable[[Any], UUID]] = {
    UserUpsertedEvent: lambda said: user_id(said.username),
    UserDeletedEvent: lambda said: user_id(said.username),
    WorkspaceUpsertedEvent: lambda said: workspace_id(said.name),
    WorkspaceDeletedEvent: lambda said: workspace_id(said.name),
    MemberAddedEvent: lambda said: member_id(said.workspace, said.username),
    MemberRemovedEvent: lambda said: member_id(said.workspace, said.username),
    ProjectUpsertedEvent: lambda said: project_id(said.workspace, said.name),
    ProjectDeletedEvent: lambda said: project_id(said.workspace, said.name),
    ExperimentCreatedEvent: lambda said: experiment_id(said.experiment),
    ExperimentResizedEvent: lambda said: experiment_id(said.experiment),
    ExperimentDeletedEvent: lambda said: experiment_id(said.experiment),
    UsageRecordedEvent: lambda said: user_id(said.username),
}
