"""Random feeds with many collisions: few names, few instants, and every type of event.

With three experiments and two dozen instants, entities are created again after their deletion,
moved, resized while they do not exist, and deleted at the instant of their creation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
from hypothesis import strategies as st

FIRST_MONTH, LAST_MONTH = "2023-12", "2024-03"
"""The months of the events, with a February of a leap year."""

# Not in the order of their names: by code point, "Zürich" < "beta" < "ü" < "😀".
_WORKSPACES = ("beta", "Zürich", "😀")
_PROJECTS = ("vision", "nlp")
_USERS = ("ann", "Bob", "ü")
_EXPERIMENTS = ("x1", "x2", "x3")
# Zero, one byte, values halfway between two hundredths of a MB, and the maximum.
_SIZES = (0, 1, 131_072, 917_504, 5 * 1_048_576, 3 * 2**30 + 7, 2**50)

_MICROSECOND = timedelta(microseconds=1)
_STARTS = [datetime(2023, 12, 1, tzinfo=UTC)] + [
    datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)
]
_INSTANTS = sorted(
    {
        *_STARTS[:-1],
        *(start + _MICROSECOND for start in _STARTS[:-1]),
        *(start - _MICROSECOND for start in _STARTS[1:]),
        *(start + timedelta(days=9, hours=7) for start in _STARTS[:-1]),
        *(start + timedelta(days=19, seconds=1) for start in _STARTS[:-1]),
    }
)
_CREATIONS = [
    datetime(2020, 2, 29, 12, tzinfo=UTC),
    *_INSTANTS[::2],
    datetime(2024, 6, 1, tzinfo=UTC),
]


def _format_time(at: datetime, style: int) -> str:
    """Write an instant with Z, with another offset, or finer than a microsecond."""
    if style == 1:
        return at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    if style == 2:
        return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "999Z"
    return at.isoformat().replace("+00:00", "Z")


_instants = st.builds(_format_time, st.sampled_from(_INSTANTS), st.integers(0, 2))
_creations = st.builds(_format_time, st.sampled_from(_CREATIONS), st.integers(0, 2))
_flags = st.booleans()
_names = {
    "workspace": st.sampled_from(_WORKSPACES[:2]),
    "project": st.sampled_from(_PROJECTS),
    "username": st.sampled_from(_USERS),
    "experiment": st.sampled_from(_EXPERIMENTS),
}


def _fact(type_: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    content = st.fixed_dictionaries(required, optional=optional or {})
    return st.tuples(st.just(type_), content)


def _of(*names: str, **others: Any) -> dict[str, Any]:
    return {**{name: _names[name] for name in names}, **others}


_sizes = st.sampled_from(_SIZES)
_upserted = _fact(
    "user.upserted",
    _of("username", email=st.sampled_from(("one@example.org", "two@example.org", None))),
    {
        "createdAt": st.none() | _creations,
        "role": st.sampled_from(("ADMIN", "MEMBER")),
        "serviceAccount": _flags,
        "suspended": _flags,
    },
)
_created = _fact(
    "experiment.created",
    _of("experiment", "workspace", "project", "username"),
    {"sizeBytes": _sizes},
)
_resized = _fact("experiment.resized", _of("experiment", sizeBytes=_sizes))
_usage = _fact(
    "usage.recorded",
    _of("username", channel=st.sampled_from(("ui", "sdk"))),
    {"count": st.sampled_from((0, 1, 7, 10**9))},
)
_facts = st.one_of(
    _upserted,
    _fact("user.deleted", _of("username")),
    _fact("user.deleted", _of("username", renamedTo=_names["username"])),
    _fact("workspace.upserted", {"name": st.sampled_from(_WORKSPACES)}),
    _fact("workspace.deleted", {"name": st.sampled_from(_WORKSPACES)}),
    _fact("member.added", _of("workspace", "username")),
    _fact("member.removed", _of("workspace", "username")),
    _fact("project.upserted", _of("workspace", name=_names["project"])),
    _fact("project.deleted", _of("workspace", name=_names["project"])),
    # More often than the rest, because figures come from experiments.
    *(_created, _created, _created, _resized, _resized),
    _fact("experiment.deleted", _of("experiment")),
    *(_usage, _usage),
)


def _line(number: int, fact: tuple[str, dict[str, Any]], time: str) -> bytes:
    type_, content = fact
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"event-{number}",
            "source": "/random",
            "type": type_,
            "time": time,
            "data": content,
        }
    )


@st.composite
def feeds(draw: st.DrawFn) -> list[bytes]:
    """Draw up to 40 different events."""
    count = draw(st.integers(1, 40))
    return [_line(number, draw(_facts), draw(_instants)) for number in range(count)]


@dataclass(frozen=True)
class Arrangement:
    """A set of events, and batches of the same events in another order with duplicates."""

    events: Sequence[bytes]
    batches: Sequence[Sequence[bytes]]


@st.composite
def arrangements(draw: st.DrawFn) -> Arrangement:
    """Draw a feed in two orders of arrival."""
    events = draw(feeds())
    duplicates = draw(st.lists(st.sampled_from(events), max_size=8))
    arriving = draw(st.permutations([*events, *duplicates]))
    cuts = sorted(draw(st.sets(st.integers(1, len(arriving)), max_size=12)) | {len(arriving)})
    starts = [0, *cuts[:-1]]
    batches = [arriving[start:end] for start, end in zip(starts, cuts, strict=True)]
    return Arrangement(events, batches)


def latest_instant(events: Sequence[bytes]) -> datetime:
    """Return the time of the latest event."""
    times = (datetime.fromisoformat(orjson.loads(line)["time"]) for line in events)
    return max(times).astimezone(UTC)
