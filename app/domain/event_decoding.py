"""Decode and validate events: CloudEvents 1.0 in JSON.

A valid batch is decoded in one pass in C. Only an invalid batch is decoded a second time, event by
event, to list the problems of each.
"""

import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice

import msgspec

from app.domain.errors import EventProblem, InvalidBatch
from app.domain.event_problems import (
    MAX_EXAMINED_BYTES,
    describe_invalid_event,
    find_nul_problems,
    find_reserved_sources,
    find_role_changes,
    find_time_problems,
    normalize_names,
)
from app.domain.events import EARLIEST, AnyEvent
from app.domain.role_guard import RoleGuard
from app.domain.validation_messages import MALFORMED_JSON, describe_malformed_json

MAX_PROBLEMS = 100
"""The most problems that one rejection lists."""

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
MEDIA_TYPES = (SINGLE, BATCH, NDJSON)
"""The media types of a body: one event, a JSON array of events, or one event per line."""

_MAX_LINES = 1_200_000
"""More lines than the largest body that is allowed has, if they are events."""

_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_BATCH_DECODER: msgspec.json.Decoder[list[AnyEvent]] = msgspec.json.Decoder(list[AnyEvent])
_RAW_BATCH_DECODER: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(
    list[msgspec.Raw]
)


def decode_body(
    media_type: str,
    body: bytes,
    *,
    now: datetime,
    not_before: datetime = EARLIEST,
    role_guard: RoleGuard | None = None,
) -> list[AnyEvent]:
    """Return the events of a request's body of one of `MEDIA_TYPES`.

    Args:
        media_type: How the events are separated.
        body: The body.
        now: The current time.
        not_before: The earliest time that an event may have.
        role_guard: Finds events that the sender may not send; None if roles may be changed.

    Raises:
        InvalidBatch: Lists the first invalid events by index, and counts all events.
    """
    body = body.removeprefix(BOM_UTF8)
    try:
        if media_type == BATCH:
            events = decode_batch(body, now=now, not_before=not_before)
        elif media_type == SINGLE:
            if not body.strip():
                raise InvalidBatch([EventProblem(0, "", "must be an event; the body is empty")])
            events = decode_lines([body], now=now, not_before=not_before)
        else:
            _require_few_lines(body)
            events = decode_lines(io.BytesIO(body), now=now, not_before=not_before)
        _require_permitted(media_type, body, events, role_guard)
        return events
    except InvalidBatch as error:
        error.event_count = _count_events(media_type, body)
        raise


def _require_permitted(
    media_type: str, body: bytes, events: Sequence[AnyEvent], role_guard: RoleGuard | None
) -> None:
    """Reject reserved sources, and changes of roles that the sender may not make."""
    found = chain(
        find_reserved_sources(enumerate(events)),
        find_role_changes(enumerate(events), role_guard) if role_guard else (),
    )
    problems = sorted(islice(found, MAX_PROBLEMS), key=lambda problem: problem.index)
    if problems and media_type == NDJSON:
        # Blank lines count.
        lines = [index for index, line in enumerate(io.BytesIO(body)) if line.strip()]
        problems = [replace(problem, index=lines[problem.index]) for problem in problems]
    if problems:
        raise InvalidBatch(problems)


def _require_few_lines(body: bytes) -> None:
    count = body.count(b"\n")
    if count > _MAX_LINES:
        message = f"the body has {count:,} lines, and at most {_MAX_LINES:,} are read"
        raise InvalidBatch([EventProblem(0, "", message)])


def _count_events(media_type: str, body: bytes) -> int:
    """Return how many events an invalid body has; about how many, if it would be slow to split."""
    if media_type == SINGLE:
        return 1
    if media_type == NDJSON:
        count = body.count(b"\n")
        return count if count > _MAX_LINES else sum(1 for line in io.BytesIO(body) if line.strip())
    if body.count(b",") > _MAX_COMMAS_AT_ONCE:
        return body.count(b'"specversion"')
    try:
        return len(_RAW_BATCH_DECODER.decode(body))
    except MALFORMED_JSON:
        return 0


def decode_lines(
    lines: Iterable[bytes],
    *,
    now: datetime,
    first_index: int = 0,
    not_before: datetime = EARLIEST,
) -> list[AnyEvent]:
    """Return the events of NDJSON lines, one per line. Blank lines are skipped.

    Raises:
        InvalidBatch: Lists the first invalid lines by index, counted from `first_index`.
    """
    events: list[tuple[int, AnyEvent]] = []
    problems: list[EventProblem] = []
    has_nul, is_plain = False, True
    for index, line in enumerate(lines, first_index):
        if not line.strip():
            continue
        text = _truncate_to_microseconds(line)
        has_nul = has_nul or _ESCAPED_NUL in text
        is_plain = is_plain and _is_plain(text)
        try:
            events.append((index, _DECODER.decode(text)))
        except MALFORMED_JSON:
            try:
                events.append((index, _DECODER.decode(_rewrite_whole_numbers(text))))
            except MALFORMED_JSON as error:
                problems.append(_describe_problem(index, text, error))
                if len(problems) >= MAX_PROBLEMS:
                    break
    if not is_plain:
        problems += islice(normalize_names(events), MAX_PROBLEMS)
    return _require_valid(events, problems, now, not_before, has_nul=has_nul)


def decode_batch(body: bytes, *, now: datetime, not_before: datetime = EARLIEST) -> list[AnyEvent]:
    """Return the events of a JSON array.

    Raises:
        InvalidBatch: Lists the first invalid events by index.
    """
    text = _truncate_to_microseconds(body)
    events: list[tuple[int, AnyEvent]] = []
    problems: list[EventProblem] = []
    try:
        events += enumerate(_BATCH_DECODER.decode(text))
    except MALFORMED_JSON:
        text = _rewrite_whole_numbers(text)
        try:
            events += enumerate(_BATCH_DECODER.decode(text))
        except MALFORMED_JSON:
            problems = _list_batch_problems(text, now, not_before)
    if not _is_plain(text):
        problems = [*problems, *islice(normalize_names(events), MAX_PROBLEMS)]
    return _require_valid(events, problems, now, not_before, has_nul=_ESCAPED_NUL in text)


def split_batch(body: bytes) -> list[bytes]:
    """Return the texts of the events in a JSON array, for `decode_lines`.

    Raises:
        InvalidBatch: The text is not a JSON array.
    """
    try:
        return [bytes(element) for element in _RAW_BATCH_DECODER.decode(body)]
    except MALFORMED_JSON as error:
        raise InvalidBatch(
            [EventProblem(0, "", f"not a JSON array: {describe_malformed_json(error)}")]
        ) from None


def _is_plain(text: bytes) -> bool:
    """Return whether all names in a text are ASCII, which needs no normalization."""
    return text.isascii() and _ESCAPE not in text


def _truncate_to_microseconds(text: bytes) -> bytes:
    """Truncate finer times: rounding up would move the last instant of a month to the next."""
    plain = _without_escapes(text) if _ESCAPED_ASCII.search(text) else text
    return _FINER_TIME.sub(rb"\1", plain) if _SEVEN_DIGITS.search(plain) else plain


def _without_escapes(text: bytes) -> bytes:
    """Return JSON without needless escapes; they may stand in a field's name or in a time."""
    return _ESCAPED_ASCII.sub(_unescape, text)


def _unescape(found: re.Match[bytes]) -> bytes:
    """Return an escaped character, unless the backslash is escaped itself or must stay."""
    start = run = found.start()
    while run > 0 and found.string[run - 1] == _BACKSLASH:
        run -= 1
    character, is_escaped = bytes([int(found[1], 16)]), (start - run) % 2 == 1
    return found[0] if is_escaped or character in b'"\\\x7f' else character


def _rewrite_whole_numbers(text: bytes) -> bytes:
    """Write whole numbers with a point or an exponent as integers, which they are in JSON Schema.

    Spreadsheets and pandas write them so. msgspec takes them for decimals and rejects the batch,
    so only a rejected batch pays for this.
    """
    return _DECIMAL.sub(_rewrite_number, text)


def _rewrite_number(found: re.Match[bytes]) -> bytes:
    number = Decimal(found[2].decode())
    # A huge exponent would take forever to write out; such a number is rejected as it is.
    if number.adjusted() > _MAX_DIGITS or number != number.to_integral_value():
        return found[0]
    return found[1] + str(int(number)).encode()


_MAX_DIGITS = 18
_DECIMAL = re.compile(
    rb'("(?:sizeBytes|count)"\s*:\s*)(-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))'
)
_ESCAPED_ASCII = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_SEVEN_DIGITS = re.compile(rb"\.[0-9]{7}")
_FINER_TIME = re.compile(rb'("(?:time|createdAt)"\s*:\s*"[0-9T:t -]{19}\.[0-9]{6})[0-9]+')
_ESCAPED_NUL = b"\\u0000"
_BACKSLASH = ord("\\")


_ESCAPE = b"\\u"


def _require_valid(
    events: Sequence[tuple[int, AnyEvent]],
    problems: Sequence[EventProblem],
    now: datetime,
    not_before: datetime,
    *,
    has_nul: bool,
) -> list[AnyEvent]:
    problems = [*problems, *islice(find_time_problems(events, now, not_before), MAX_PROBLEMS)]
    if has_nul:
        problems += islice(find_nul_problems(events), MAX_PROBLEMS)
    if problems:
        problems.sort(key=lambda problem: problem.index)
        raise InvalidBatch(problems[:MAX_PROBLEMS])
    return [event for _, event in events]


def _list_batch_problems(body: bytes, now: datetime, not_before: datetime) -> list[EventProblem]:
    """Return the first problems of an array, of which at least one element is not valid.

    Elements are examined one at a time: an array of millions would take gigabytes at once.
    """
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except MALFORMED_JSON as error:
        reason = describe_malformed_json(error)
        return [EventProblem(0, "", f"the body is not valid JSON: {reason}")]
    if not body.lstrip().startswith(b"["):
        return [EventProblem(0, "", "the body must be a JSON array of CloudEvents")]
    found = (
        problem
        for index, element in enumerate(_split_array(body))
        for problem in _find_problems(index, element, now, not_before)
    )
    return list(islice(found, MAX_PROBLEMS))


def _split_array(array: bytes) -> Iterable[bytes]:
    """Return the texts of a JSON array's elements: in C, or one at a time if they are many."""
    if array.count(b",") > _MAX_COMMAS_AT_ONCE:
        return _iter_elements(array, array.index(b"[") + 1)
    return map(bytes, _RAW_BATCH_DECODER.decode(array))


_MAX_COMMAS_AT_ONCE = 1_000_000


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
"""What separates and nests the values of a JSON document; strings are skipped."""


def _iter_elements(array: bytes, begin: int) -> Iterator[bytes]:
    """Yield the texts of a JSON array's elements, until one is too long to examine."""
    depth = 0
    for token in _TOKEN.finditer(array, begin):
        if token.start() - begin > MAX_EXAMINED_BYTES:
            yield array[begin : begin + MAX_EXAMINED_BYTES]
            return
        character = token[0]
        if depth == 0 and character in (b",", b"]"):
            if element := array[begin : token.start()].strip():
                yield element
            begin = token.end()
        depth += _DEPTH_CHANGE.get(character, 0)
        if depth < 0:
            return


_DEPTH_CHANGE = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def _find_problems(
    index: int, text: bytes, now: datetime, not_before: datetime
) -> Iterable[EventProblem]:
    """Yield the problems of one event."""
    if len(text) == MAX_EXAMINED_BYTES:
        yield EventProblem(index, "", f"has more than {MAX_EXAMINED_BYTES:,} bytes")
        return
    try:
        event = [(index, _DECODER.decode(text))]
    except MALFORMED_JSON as error:
        yield _describe_problem(index, text, error)
    else:
        yield from find_time_problems(event, now, not_before)
        yield from find_nul_problems(event)


def _describe_problem(index: int, text: bytes, error: Exception) -> EventProblem:
    if isinstance(error, msgspec.ValidationError):
        return describe_invalid_event(index, text, error)
    return EventProblem(index, "", f"not valid JSON: {describe_malformed_json(error)}")
