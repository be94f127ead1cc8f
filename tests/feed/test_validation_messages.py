"""Validation messages: the decoder's errors in plain words, with the place and the value."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from app.domain.validation_messages import (
    MALFORMED_JSON,
    describe_malformed_json,
    describe_validation_error,
)


class Part(Struct):
    """A part of a document."""

    size: int


class Document(Struct, forbid_unknown_fields=True):
    """A document with a field of each kind that the project validates."""

    size: int | None = None
    count: Annotated[int, Meta(ge=0, le=9)] = 0
    name: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    flag: bool = False
    at: Annotated[datetime, Meta(tz=True)] | None = None
    role: Literal["ADMIN", "MEMBER"] = "ADMIN"
    columns: dict[str, str | Part] = {}
    parts: list[Part] = []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"size": 1024.5}, "size: must be a whole number or null; got 1024.5"),
        ({"size": "7"}, "size: must be a whole number or null; got '7'"),
        ({"count": -1}, "count: must be 0 or more; got -1"),
        ({"count": 10}, "count: must be 9 or less; got 10"),
        ({"name": ""}, "name: must not be empty; got ''"),
        ({"name": "abcd"}, "name: must have 3 or fewer characters; got 'abcd'"),
        ({"flag": 1}, "flag: must be true or false; got 1"),
        (
            {"at": "soon"},
            (
                "at: must be a date and time with a UTC offset, such as 2026-09-30T12:00:00Z; "
                "got 'soon'"
            ),
        ),
        (
            {"at": "2026-09-30T12:00:00"},
            "at: must have a UTC offset, such as Z; got '2026-09-30T12:00:00'",
        ),
        ({"role": "OWNER"}, "role: must be ADMIN or MEMBER; got 'OWNER'"),
        ({"columns": {"a": 1}}, "columns[...]: must be a string or an object; got a whole number"),
        (
            {"parts": [{"size": 1}, {"size": None}]},
            "parts[1].size: must be a whole number; got None",
        ),
        ({"parts": [{}]}, "parts[0]: must have the field `size`"),
        ({"sise": 1}, "must not have the field `sise`"),
        ([], "must be an object; got []"),
    ],
)
def test_a_message_names_the_place_the_rule_and_the_value(document: Any, message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(document, Document)

    found = describe_validation_error(caught.value, document, {"role": ("ADMIN", "MEMBER")})

    assert str(found) == message


def test_a_long_value_is_truncated() -> None:
    document = {"name": "a" * 1000}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(document, Document)

    assert len(str(describe_validation_error(caught.value, document))) < 150


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1, x]", "invalid character (byte 4)"),
        (b"[1, ", "the text ends too early"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_explained(text: bytes, reason: str) -> None:
    with pytest.raises(MALFORMED_JSON) as caught:
        msgspec.json.decode(text)

    assert describe_malformed_json(caught.value) == reason
