"""What can be wrong with one event: its fields, its times, and texts that cannot be stored."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import get_args

import msgspec

from app.domain.errors import EventProblem
from app.domain.events import (
    CLOCK_SKEW,
    EARLIEST_ACCOUNT,
    EVENT_TYPES,
    MAX_NAME_LENGTH,
    AnyEvent,
    Channel,
    Role,
    UserUpsertedEvent,
)
from app.domain.role_guard import RoleGuard
from app.domain.sources import RESERVED_PREFIXES
from app.domain.text import NUL, normalize_name
from app.domain.validation_messages import MALFORMED_JSON, MISSING, describe_validation_error

_ALLOWED_VALUES: Mapping[str, Sequence[str]] = {
    "type": EVENT_TYPES,
    "specversion": ("1.0",),
    "data.role": get_args(Role),
    "data.channel": get_args(Channel),
}


MAX_EXAMINED_BYTES = 1_048_576
"""Longer events are not decoded a second time to describe what is wrong with them."""


def describe_invalid_event(
    index: int, text: bytes, error: msgspec.ValidationError
) -> EventProblem:
    """Return the problem of an event that does not have the form of its type."""
    document = MISSING
    if len(text) <= MAX_EXAMINED_BYTES:
        with suppress(*MALFORMED_JSON):
            document = msgspec.json.decode(text)
    field, message = describe_validation_error(error, document, _ALLOWED_VALUES)
    return EventProblem(index, field, message)


def find_time_problems(
    events: Iterable[tuple[int, AnyEvent]], now: datetime, not_before: datetime
) -> Iterable[EventProblem]:
    """Yield the times before `not_before`, or more than `CLOCK_SKEW` in the future."""
    latest = now + CLOCK_SKEW
    for index, event in events:
        if not not_before <= event.time <= latest:
            yield EventProblem(index, "time", _describe_range(not_before, latest, event.time))
        created_at = event.data.created_at if isinstance(event, UserUpsertedEvent) else None
        if created_at is not None and not EARLIEST_ACCOUNT <= created_at <= latest:
            yield EventProblem(
                index, "data.createdAt", _describe_range(EARLIEST_ACCOUNT, latest, created_at)
            )


def _describe_range(earliest: datetime, latest: datetime, value: datetime) -> str:
    return (
        f"must be from {earliest:%Y-%m-%d} to {latest:%Y-%m-%dT%H:%M:%SZ}, five minutes from now; "
        f"got {value.isoformat()}"
    )


def find_nul_problems(events: Iterable[tuple[int, AnyEvent]]) -> Iterable[EventProblem]:
    """Yield the texts that contain U+0000."""
    for index, event in events:
        for field, value in _texts(event):
            if NUL in value:
                yield EventProblem(
                    index, field, f"must not contain the character U+0000; got {value!r}"
                )


def find_reserved_sources(events: Iterable[tuple[int, AnyEvent]]) -> Iterable[EventProblem]:
    """Yield the events whose source only the service itself may use."""
    for index, event in events:
        if event.source.startswith(RESERVED_PREFIXES):
            reserved = ", ".join(RESERVED_PREFIXES)
            message = f"must not start with {reserved}, which are reserved; got {event.source!r}"
            yield EventProblem(index, "source", message)


def find_role_changes(
    events: Iterable[tuple[int, AnyEvent]], guard: RoleGuard
) -> Iterable[EventProblem]:
    """Yield the events that change who is an admin."""
    for index, event in events:
        if isinstance(event, UserUpsertedEvent) and (problem := guard.find_problem(event.data)):
            field, message = problem
            yield EventProblem(index, f"data.{field}", message)


def normalize_names(events: Iterable[tuple[int, AnyEvent]]) -> Iterable[EventProblem]:
    """Normalize the names and emails of events; yield those that become too long by it."""
    for index, event in events:
        for field, value in msgspec.structs.asdict(event.data).items():
            if not isinstance(value, str) or value.isascii():
                continue
            name = normalize_name(value)
            setattr(event.data, field, name)
            if len(name) > MAX_NAME_LENGTH:
                yield EventProblem(
                    index,
                    f"data.{field}",
                    f"must have at most {MAX_NAME_LENGTH} characters in Unicode's form C; "
                    f"got {len(name)}",
                )


def _texts(event: AnyEvent) -> Iterable[tuple[str, str]]:
    yield from (("id", event.id), ("source", event.source))
    for field, value in msgspec.structs.asdict(event.data).items():
        if isinstance(value, str):
            yield f"data.{field}", value
