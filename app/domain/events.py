"""The twelve types of usage events, as CloudEvents 1.0. `app.domain.event_decoding` reads them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from app.domain.ids import event_id

MAX_NAME_LENGTH = 512
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
"""The name of a user, workspace, project or experiment; 1 to 512 characters."""
Identifier = Annotated[str, Meta(min_length=1, max_length=1024)]
Instant = Annotated[datetime, Meta(tz=True)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**50)]
"""At most 1 PiB for one experiment."""
Count = Annotated[int, Meta(ge=0, le=10**9)]

Channel = Literal["ui", "sdk"]
Role = Literal["ADMIN", "MEMBER"]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier event times are rejected: they come from clocks that were never set."""
EARLIEST_ACCOUNT = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier creation times of accounts are rejected."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of a source may be ahead of ours."""


class UserUpserted(Struct, rename="camel", gc=False):
    """Properties of a user; properties that are left out keep their value."""

    username: Name
    email: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)] | None = None
    created_at: Instant | None = None
    role: Role | None = None
    service_account: bool | None = None
    suspended: bool | None = None


class UserDeleted(Struct, rename="camel", gc=False):
    """Identifies a user who was deleted; `renamed_to` is the username under which they go on."""

    username: Name
    renamed_to: Name | None = None


class WorkspaceReference(Struct, gc=False):
    """Identifies a workspace."""

    name: Name


class MembershipReference(Struct, gc=False):
    """Identifies a membership."""

    workspace: Name
    username: Name


class ProjectReference(Struct, gc=False):
    """Identifies a project."""

    workspace: Name
    name: Name


class ExperimentCreated(Struct, rename="camel", gc=False):
    """An experiment's workspace, project and owner, and its initial size if known."""

    experiment: Name
    workspace: Name
    project: Name
    username: Name
    size_bytes: SizeBytes | None = None


class ExperimentResized(Struct, rename="camel", gc=False):
    """The size of an experiment from the event's time on; not a difference."""

    experiment: Name
    size_bytes: SizeBytes


class ExperimentReference(Struct, gc=False):
    """Identifies an experiment."""

    experiment: Name


class UsageRecorded(Struct, gc=False):
    """Uses of a channel. A count of 0 shows that the channel is measured but was not used."""

    username: Name
    channel: Channel
    count: Count | None = None

    @property
    def uses(self) -> int:
        """The count, by default 1."""
        return 1 if self.count is None else self.count


class Event(Struct, tag_field="type", gc=False):
    """A CloudEvent: `id` and `source` identify it, `time` says when it happened."""

    specversion: Literal["1.0"]
    id: Identifier
    source: Identifier
    time: Instant

    @property
    def uid(self) -> UUID:
        """One value for (source, id): 128 bits of a hash, as a key of fixed size."""
        return event_id(self.source, self.id)


class UserUpsertedEvent(Event, tag="user.upserted"):
    """A user exists, with these properties."""

    data: UserUpserted


class UserDeletedEvent(Event, tag="user.deleted"):
    """A user was deleted, or goes on under another name."""

    data: UserDeleted


class WorkspaceUpsertedEvent(Event, tag="workspace.upserted"):
    """A workspace exists."""

    data: WorkspaceReference


class WorkspaceDeletedEvent(Event, tag="workspace.deleted"):
    """A workspace was deleted, with its members, projects and experiments."""

    data: WorkspaceReference


class MemberAddedEvent(Event, tag="member.added"):
    """A user is a member of a workspace."""

    data: MembershipReference


class MemberRemovedEvent(Event, tag="member.removed"):
    """A user is no longer a member of a workspace."""

    data: MembershipReference


class ProjectUpsertedEvent(Event, tag="project.upserted"):
    """A project exists."""

    data: ProjectReference


class ProjectDeletedEvent(Event, tag="project.deleted"):
    """A project was deleted, with its experiments."""

    data: ProjectReference


class ExperimentCreatedEvent(Event, tag="experiment.created"):
    """An experiment exists. Sent again with another workspace, project or owner, it moved."""

    data: ExperimentCreated


class ExperimentResizedEvent(Event, tag="experiment.resized"):
    """An experiment has another size."""

    data: ExperimentResized


class ExperimentDeletedEvent(Event, tag="experiment.deleted"):
    """An experiment was deleted."""

    data: ExperimentReference


class UsageRecordedEvent(Event, tag="usage.recorded"):
    """A user used the platform."""

    data: UsageRecorded


AnyEvent = (
    UserUpsertedEvent
    | UserDeletedEvent
    | WorkspaceUpsertedEvent
    | WorkspaceDeletedEvent
    | MemberAddedEvent
    | MemberRemovedEvent
    | ProjectUpsertedEvent
    | ProjectDeletedEvent
    | ExperimentCreatedEvent
    | ExperimentResizedEvent
    | ExperimentDeletedEvent
    | UsageRecordedEvent
)
EVENT_TYPE_BY_CLASS: dict[type, str] = {
    event_class: cast("str", event_class.__struct_config__.tag)
    for event_class in Event.__subclasses__()
}
"""The CloudEvents type of each class of events."""
EVENT_TYPES = tuple(EVENT_TYPE_BY_CLASS.values())
"""All event types: users, workspaces, members, projects, experiments, usage."""

_CLASS_BY_TYPE: dict[str, Any] = {name: each for each, name in EVENT_TYPE_BY_CLASS.items()}
_DATA_CLASS_BY_TYPE: dict[str, Any] = {
    name: get_type_hints(each)["data"] for name, each in _CLASS_BY_TYPE.items()
}

encode_event_data: Callable[[Sequence[Any]], bytes] = msgspec.json.Encoder().encode
"""Encode the data of several events as a JSON array."""


def restore_event(type_: str, at: datetime, source: str, id_: str, data: str) -> AnyEvent:
    """Return an event as it was accepted, from the columns of its row."""
    content = msgspec.json.decode(data, type=_DATA_CLASS_BY_TYPE[type_])
    event: AnyEvent = _CLASS_BY_TYPE[type_](
        specversion="1.0", id=id_, source=source, time=at, data=content
    )
    return event
