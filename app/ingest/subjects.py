"""The entity that an event is about, and its parent, as stored in the event table."""

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
    """Return the id of the entity that the event is about; for usage, the user."""
    return _SUBJECT_ID[type(event)](event.data)


def parent_of(event: AnyEvent) -> UUID | None:
    """Return the project of a created experiment; None for every other event."""
    if isinstance(event, ExperimentCreatedEvent):
        return project_id(event.data.workspace, event.data.project)
    return None


_SUBJECT_ID: Mapping[type, Callable[[Any], UUID]] = {
    UserUpsertedEvent: lambda data: user_id(data.username),
    UserDeletedEvent: lambda data: user_id(data.username),
    WorkspaceUpsertedEvent: lambda data: workspace_id(data.name),
    WorkspaceDeletedEvent: lambda data: workspace_id(data.name),
    MemberAddedEvent: lambda data: member_id(data.workspace, data.username),
    MemberRemovedEvent: lambda data: member_id(data.workspace, data.username),
    ProjectUpsertedEvent: lambda data: project_id(data.workspace, data.name),
    ProjectDeletedEvent: lambda data: project_id(data.workspace, data.name),
    ExperimentCreatedEvent: lambda data: experiment_id(data.experiment),
    ExperimentResizedEvent: lambda data: experiment_id(data.experiment),
    ExperimentDeletedEvent: lambda data: experiment_id(data.experiment),
    UsageRecordedEvent: lambda data: user_id(data.username),
}
