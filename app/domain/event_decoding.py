"""Decode and validate events: CloudEvents 1.0 in JSON.

A valid batch is decoded in one pass in C. Only an invalid batch is decoded a second time, event by
event, to list the problems of each.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice

import msgspec

from app.domain.errors import EventProblem, InvalidBatch
from app.domain.event_problems import describe_invalid_event, find_nul_problems, find_time_problems
from app.domain.events import AnyEvent
from app.domain.validation_messages import MALFORMED_JSON, describe_malformed_json

MAX_PROBLEMS = 100
"""The most problems that one rejection lists."""

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
MEDIA_TYPES = (SINGLE, BATCH, NDJSON)
"""The media types of a body: one event, a JSON array of events, or one event per line."""

_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_BATCH_DECODER: msgspec.json.Decoder[list[AnyEvent]] = msgspec.json.Decoder(list[AnyEvent])
_RAW_BATCH_DECODER: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(
    list[msgspec.Raw]
)


def decode_body(media_type: str, body: bytes, *, now: datetime) -> list[AnyEvent]:
    """Return the events of a body of one of `MEDIA_TYPES`.

    Raises:
        InvalidBatch: Lists the invalid events by index, and counts all events.
    """
    try:
        if media_type == BATCH:
            return decode_batch(body, now=now)
        return decode_lines(_split_lines(media_type, body), now=now)
    except InvalidBatch as error:
        error.event_count = _count_events(media_type, body)
        raise


def _split_lines(media_type: str, body: bytes) -> list[bytes]:
    return [body] if media_type == SINGLE else body.split(b"\n")


def _count_events(media_type: str, body: bytes) -> int:
    """Return how many events an invalid body has; 0 if it cannot be determined."""
    if media_type != BATCH:
        return sum(1 for line in _split_lines(media_type, body) if line.strip())
    try:
        return len(_RAW_BATCH_DECODER.decode(body))
    except MALFORMED_JSON:
        return 0


def decode_lines(lines: Sequence[bytes], *, now: datetime, first_index: int = 0) -> list[AnyEvent]:
    """Return the events of NDJSON lines, one per line. Blank lines are skipped.

    Raises:
        InvalidBatch: Lists the invalid lines by index, counted from `first_index`.
    """
    texts = [
        (index, _truncate_to_microseconds(line))
        for index, line in enumerate(lines, first_index)
        if line.strip()
    ]
    try:
        events = [(index, _DECODER.decode(text)) for index, text in texts]
    except MALFORMED_JSON:
        rewritten = [(index, _rewrite_whole_numbers(text)) for index, text in texts]
        try:
            events = [(index, _DECODER.decode(text)) for index, text in rewritten]
        except MALFORMED_JSON:
            raise InvalidBatch(_list_problems(rewritten, now)) from None
    has_nul = any(_ESCAPED_NUL in text for _, text in texts)
    return _require_valid(events, now, has_nul=has_nul)


def decode_batch(body: bytes, *, now: datetime) -> list[AnyEvent]:
    """Return the events of a JSON array.

    Raises:
        InvalidBatch: Lists the invalid events by index.
    """
    text = _truncate_to_microseconds(body)
    try:
        events = _BATCH_DECODER.decode(text)
    except MALFORMED_JSON:
        text = _rewrite_whole_numbers(text)
        try:
            events = _BATCH_DECODER.decode(text)
        except MALFORMED_JSON:
            raise InvalidBatch(_list_batch_problems(text, now)) from None
    return _require_valid(list(enumerate(events)), now, has_nul=_ESCAPED_NUL in text)


def _truncate_to_microseconds(text: bytes) -> bytes:
    """Truncate finer times: rounding up would move the last instant of a month to the next."""
    plain = _without_escapes(text) if _ESCAPED_ASCII.search(text) else text
    return _FINER_TIME.sub(rb"\1", plain) if _SEVEN_DIGITS.search(plain) else plain


def _without_escapes(text: bytes) -> bytes:
    """Return JSON without needless escapes; they may stand in a field's name or in a time."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except MALFORMED_JSON:
        return text


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
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_SEVEN_DIGITS = re.compile(rb"\.[0-9]{7}")
_FINER_TIME = re.compile(rb'("(?:time|createdAt)"\s*:\s*"[0-9T:t -]{19}\.[0-9]{6})[0-9]+')
_ESCAPED_NUL = b"\\u0000"


def _require_valid(
    events: Sequence[tuple[int, AnyEvent]], now: datetime, *, has_nul: bool
) -> list[AnyEvent]:
    problems = list(find_time_problems(events, now))
    if has_nul:
        problems += find_nul_problems(events)
    if problems:
        problems.sort(key=lambda problem: problem.index)
        raise InvalidBatch(problems[:MAX_PROBLEMS])
    return [event for _, event in events]


def _list_batch_problems(body: bytes, now: datetime) -> list[EventProblem]:
    try:
        events = _RAW_BATCH_DECODER.decode(body)
    except msgspec.ValidationError:
        return [EventProblem(0, "", "the body must be a JSON array of CloudEvents")]
    except MALFORMED_JSON as error:
        reason = describe_malformed_json(error)
        return [EventProblem(0, "", f"the body is not valid JSON: {reason}")]
    return _list_problems(((index, bytes(event)) for index, event in enumerate(events)), now)


def _list_problems(texts: Iterable[tuple[int, bytes]], now: datetime) -> list[EventProblem]:
    problems = chain.from_iterable(_find_problems(index, text, now) for index, text in texts)
    return list(islice(problems, MAX_PROBLEMS))


def _find_problems(index: int, text: bytes, now: datetime) -> Iterable[EventProblem]:
    """Yield the problems of one event."""
    try:
        event = [(index, _DECODER.decode(text))]
    except msgspec.ValidationError as error:
        yield describe_invalid_event(index, text, error)
    except MALFORMED_JSON as error:
        yield EventProblem(index, "", f"not valid JSON: {describe_malformed_json(error)}")
    else:
        yield from find_time_problems(event, now)
        yield from find_nul_problems(event)
