"""Plain messages for the errors of the decoder (msgspec).

The decoder says "Expected `int | null`, got `float` - at `$.data.sizeBytes`". Users read
"data.sizeBytes: must be a whole number or null; got 1024.5".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

MALFORMED_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors that decoding an invalid document can raise."""

MISSING = UNSET
"""Stands for a document or value that is not known."""

_MAX_VALUE_LENGTH = 80


class FieldError(NamedTuple):
    """The path of an invalid field, empty for the document itself, and what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def describe_validation_error(
    error: msgspec.ValidationError,
    document: object = MISSING,
    allowed: Mapping[str, Sequence[str]] | None = None,
) -> FieldError:
    """Return where a document is invalid, and what is right.

    Args:
        error: The error of the decoder.
        document: The decoded document, from which the message takes the invalid value.
        allowed: The allowed values of fields that are enums, by path.

    >>> document = {"sizes": [4, 1.5]}
    >>> try:
    ...     msgspec.convert(document["sizes"], list[int])
    ... except msgspec.ValidationError as error:
    ...     print(describe_validation_error(error, document["sizes"]))
    [1]: must be a whole number; got 1.5
    """
    text, _, place = str(error).partition(" - at `")
    # The key of a mapping has the place "`key` in `$.columns`".
    path = place.removeprefix("key` in `").removesuffix("`").removeprefix("$").removeprefix(".")
    if match := _FIELD_NAME.fullmatch(text):
        verb = "must have" if match["problem"] == "missing required" else "must not have"
        return FieldError(path, f"{verb} the field `{match['name']}`")
    value = MISSING if place.startswith("key`") else _find_value(document, path)
    found = _to_words(text.partition(", got ")[2]) if value is MISSING else _shorten(value)
    rule = _describe_rule(text.partition(", got ")[0], (allowed or {}).get(path))
    return FieldError(path, f"{rule}; got {found}" if found else rule)


_FIELD_NAME = re.compile(
    r"Object (?P<problem>missing required|contains unknown) field `(?P<name>.*)`"
)


def _describe_rule(text: str, allowed: Sequence[str] | None) -> str:
    if allowed:
        is_short = len(allowed) <= _MAX_ALTERNATIVES
        return f"must be {' or '.join(allowed) if is_short else 'one of ' + ', '.join(allowed)}"
    if match := re.fullmatch(r"Expected (`[^`]*`)", text):
        return f"must be {_to_words(match[1])}"
    for pattern, rule in _RULES.items():
        if match := re.fullmatch(pattern, text):
            return rule.format(*match.groups())
    return f"is invalid: {text}"


_MAX_ALTERNATIVES = 2
_RULES: Mapping[str, str] = {
    r"Expected `str` of length >= 1": "must not be empty",
    r"Expected `str` of length >= (\d+)": "must have {0} or more characters",
    r"Expected `str` of length <= (\d+)": "must have {0} or fewer characters",
    r"Expected `array` of length >= (\d+)": "must have {0} or more items",
    r"Expected `array` of length <= (\d+)": "must have {0} or fewer items",
    r"Expected `\w+` >= (.+)": "must be {0} or more",
    r"Expected `\w+` <= (.+)": "must be {0} or less",
    r"Expected `\w+` with a timezone component": "must have a UTC offset, such as Z",
    r"Invalid RFC3339 encoded datetime": (
        "must be a date and time with a UTC offset, such as 2026-09-30T12:00:00Z"
    ),
    r"Invalid (?:enum )?value .*": "is not an allowed value",
    r".* out of range.*": "is out of range",
}


def _to_words(types: str) -> str:
    """Return types such as "`int | null`" in words; empty if there are none."""
    names = types.strip("`").split(" | ") if types else ()
    return " or ".join(_TYPE_WORDS.get(name, name) for name in names)


_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "datetime": "a date and time",
}


def _find_value(document: object, path: str) -> Any:
    value = document
    for name, index in _PATH_PART.findall(path):
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, list) and index.isdecimal() and int(index) < len(value):
            value = value[int(index)]
        else:
            return MISSING
    return value


_PATH_PART = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[:_MAX_VALUE_LENGTH] + "…"


def describe_malformed_json(error: Exception) -> str:
    """Return why a text is not JSON.

    >>> try:
    ...     msgspec.json.decode(b"[1, x]")
    ... except MALFORMED_JSON as error:
    ...     describe_malformed_json(error)
    'invalid character (byte 4)'
    """
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not encoded in UTF-8"
    message = str(error)
    if message == "Input data was truncated":
        return "the text ends too early"
    return message.removeprefix("JSON is malformed: ")
