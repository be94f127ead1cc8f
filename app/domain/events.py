"""Usage events: their twelve types, and decoding and validation of CloudEvents 1.0 in JSON.

A valid batch is decoded in one pass in C. Only a batch that fails is decoded a second time, event
by event, to list what is wrong with each.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.domain.errors import EventProblem, InvalidBatch
from app.domain.ids import event_id

Name = Annotated[str, Meta(min_length=1, max_length=512)]
"""The name of a user, workspace, project or experiment; 1 to 512 characters."""
Identifier = Annotated[str, Meta(min_length=1, max_length=1024)]
Instant = Annotated[datetime, Meta(tz=True)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**50)]
"""At most 1 PiB for one experiment, so that a sum stays exact in 64 bits."""
Count = Annotated[int, Meta(ge=0, le=10**9)]

Channel = Literal["ui", "sdk"]
Role = Literal["ADMIN", "MEMBER"]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier event times are rejected: they come from clocks that were never set."""
EARLIEST_ACCOUNT = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the clock of a source may be."""
NUL = "\0"
"""The one character that PostgreSQL cannot store in a text."""
MAX_PROBLEMS = 100
"""The most problems that one rejection lists."""


class UserUpserted(Struct, rename="camel", gc=False):
    """Properties of a user; properties that are left out keep their value."""

    username: Name
    email: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    created_at: Instant | None = None
    role: Role | None = None
    service_account: bool | None = None
    suspended: bool | None = None


class UserReference(Struct, gc=False):
    """Identifies a user."""

    username: Name


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
    """A user was deleted."""

    data: UserReference


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
    kind: cast("str", kind.__struct_config__.tag) for kind in Event.__subclasses__()
}
"""By class of event: its CloudEvents type."""
EVENT_TYPES = tuple(EVENT_TYPE_BY_CLASS.values())
"""All event types: users, workspaces, members, projects, experiments, usage."""

_KINDS: dict[str, Any] = {name: kind for kind, name in EVENT_TYPE_BY_CLASS.items()}
_CONTENTS: dict[str, Any] = {name: get_type_hints(kind)["data"] for name, kind in _KINDS.items()}

_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_BATCH_DECODER: msgspec.json.Decoder[list[AnyEvent]] = msgspec.json.Decoder(list[AnyEvent])
_RAW_BATCH_DECODER: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(
    list[msgspec.Raw]
)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_lines(lines: Sequence[bytes], *, now: datetime, first_index: int = 0) -> list[AnyEvent]:
    """One event a line (NDJSON); a blank line holds none.

    Raises:
        InvalidBatch: With each bad line's index, counted from `first_index`.
    """
    exact = [
        (index, _whole_microseconds(line))
        for index, line in enumerate(lines, first_index)
        if line.strip()
    ]
    try:
        events = [(index, _DECODER.decode(line)) for index, line in exact]
    except _MALFORMED:
        raise InvalidBatch(_problems(exact, now)) from None
    has_nul = any(_WRITTEN_NUL in line for _, line in exact)
    return _checked(events, now, has_nul=has_nul)


def decode_batch(body: bytes, *, now: datetime) -> list[AnyEvent]:
    """A JSON array of events.

    Raises:
        InvalidBatch: With each bad event's index.
    """
    exact = _whole_microseconds(body)
    try:
        events = _BATCH_DECODER.decode(exact)
    except _MALFORMED:
        raise InvalidBatch(_batch_problems(exact, now)) from None
    return _checked(list(enumerate(events)), now, has_nul=_WRITTEN_NUL in exact)


ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
MEDIA_TYPES = (ONE, BATCH, LINES)
"""What a body of events may be: one, a JSON array, or one a line."""


def decode_body(media_type: str, body: bytes, *, now: datetime) -> list[AnyEvent]:
    """The events of a body of one of these media types.

    Raises:
        InvalidBatch: With each bad event's index, and how many events there are.
    """
    try:
        if media_type == BATCH:
            return decode_batch(body, now=now)
        return decode_lines(_lines(media_type, body), now=now)
    except InvalidBatch as refusal:
        refusal.event_count = _count_events(media_type, body)
        raise


def _count_events(media_type: str, body: bytes) -> int:
    """How many events a body has, whatever is wrong with them; 0 when it cannot be told."""
    if media_type != BATCH:
        return sum(1 for line in _lines(media_type, body) if line.strip())
    try:
        return len(_RAW_BATCH_DECODER.decode(body))
    except _MALFORMED:
        return 0


def _lines(media_type: str, body: bytes) -> list[bytes]:
    return [body] if media_type == ONE else body.split(b"\n")


def restore_event(type_: str, at: datetime, source: str, id_: str, data: str) -> AnyEvent:
    """An event as it was accepted, from what the store keeps of it."""
    content = msgspec.json.decode(data, type=_CONTENTS[type_])
    event: AnyEvent = _KINDS[type_](
        specversion="1.0", id=id_, source=source, time=at, data=content
    )
    return event


def _whole_microseconds(text: bytes) -> bytes:
    """Cut what is finer than a microsecond: rounding up would move the last instant of a month."""
    plain = _without_escapes(text) if _ESCAPED_ASCII.search(text) else text
    return _FINER.sub(rb"\1", plain) if _SEVEN_DIGITS.search(plain) else plain


def _without_escapes(text: bytes) -> bytes:
    """JSON may spell any character as an escape: the name of a field, the point of a time."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except _MALFORMED:
        return text


_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_SEVEN_DIGITS = re.compile(rb"\.[0-9]{7}")
_FINER = re.compile(rb'("(?:time|createdAt)"\s*:\s*"[0-9T:t -]{19}\.[0-9]{6})[0-9]+')
_WRITTEN_NUL = b"\\u0000"


def _checked(
    events: Sequence[tuple[int, AnyEvent]], now: datetime, *, has_nul: bool
) -> list[AnyEvent]:
    problems = list(_time_problems(events, now))
    if has_nul:
        problems += _nul_problems(events)
    if problems:
        problems.sort(key=lambda problem: problem.index)
        raise InvalidBatch(problems[:MAX_PROBLEMS])
    return [event for _, event in events]


def _time_problems(
    events: Iterable[tuple[int, AnyEvent]], now: datetime
) -> Iterable[EventProblem]:
    latest = now + CLOCK_SKEW
    for index, event in events:
        if not EARLIEST <= event.time <= latest:
            yield EventProblem(index, "time", _outside(EARLIEST, now, event.time))
        created_at = event.data.created_at if isinstance(event, UserUpsertedEvent) else None
        if created_at is not None and not EARLIEST_ACCOUNT <= created_at <= latest:
            yield EventProblem(
                index, "data.createdAt", _outside(EARLIEST_ACCOUNT, now, created_at)
            )


def _outside(earliest: datetime, now: datetime, found: datetime) -> str:
    return (
        f"must be from {earliest:%Y-%m-%d} to now, {now:%Y-%m-%dT%H:%M:%SZ}, or five minutes "
        f"later at the most; got {found.isoformat()}"
    )


def _nul_problems(events: Iterable[tuple[int, AnyEvent]]) -> Iterable[EventProblem]:
    for index, event in events:
        for field, value in _texts(event):
            if NUL in value:
                yield EventProblem(
                    index, field, f"must not contain the character U+0000; got {value!r}"
                )


def _texts(event: AnyEvent) -> Iterable[tuple[str, str]]:
    yield from (("id", event.id), ("source", event.source))
    for field, value in msgspec.structs.asdict(event.data).items():
        if isinstance(value, str):
            yield f"data.{field}", value


def _batch_problems(body: bytes, now: datetime) -> list[EventProblem]:
    try:
        events = _RAW_BATCH_DECODER.decode(body)
    except msgspec.ValidationError:
        return [EventProblem(0, "", "the body must be a JSON array of CloudEvents")]
    except _MALFORMED as error:
        return [EventProblem(0, "", f"the body is not valid JSON: {_reason(error)}")]
    return _problems(((index, bytes(event)) for index, event in enumerate(events)), now)


def _problems(texts: Iterable[tuple[int, bytes]], now: datetime) -> list[EventProblem]:
    """What is wrong with each event, whatever the first of them suffers from."""
    found = chain.from_iterable(_problems_of(index, text, now) for index, text in texts)
    return list(islice(found, MAX_PROBLEMS))


def _problems_of(index: int, text: bytes, now: datetime) -> Iterable[EventProblem]:
    try:
        event = [(index, _DECODER.decode(text))]
    except msgspec.ValidationError as error:
        yield _problem(index, text, str(error))
    except _MALFORMED as error:
        yield EventProblem(index, "", f"not valid JSON: {_reason(error)}")
    else:
        yield from _time_problems(event, now)
        yield from _nul_problems(event)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _problem(index: int, text: bytes, message: str) -> EventProblem:
    """msgspec's words, with the value that was found there."""
    expected, _, path = message.partition(" - at `$.")
    field = path.removesuffix("`")
    if field in _ALLOWED:
        expected = f"must be {' or '.join(_ALLOWED[field])}"
    return EventProblem(index, field, expected + _found(text, field))


_ALLOWED: dict[str, tuple[str, ...]] = {
    "type": EVENT_TYPES,
    "specversion": ("1.0",),
    "data.role": get_args(Role),
    "data.channel": get_args(Channel),
}


def _found(text: bytes, field: str) -> str:
    try:
        value = msgspec.json.decode(text)
    except _MALFORMED:
        return ""
    for part in field.split(".") if field else ():
        value = value.get(part, UNSET) if isinstance(value, dict) else UNSET
    return "" if isinstance(value, UnsetType) else f"; got {_short(value)}"


def _short(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= _LONGEST_VALUE else written[:_LONGEST_VALUE] + "…"


_LONGEST_VALUE = 80

encode_event_data: Callable[[Sequence[Any]], bytes] = msgspec.json.Encoder().encode
"""The data of several events as a JSON array."""
