"""The importable tables, their columns, and the parsers for column values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app.domain.decimals import parse_decimal

Value = Any
_TRUE = frozenset({"true", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "no", "n", "off"})


class InvalidValue(Exception):
    """A value does not fit its column. The message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an importable table.

    Attributes:
        name: What mappings and files call it.
        kind: Which parser reads it: a key of `PARSERS`, or `number`.
        meaning: A description for the documentation.
        required: Whether every row needs a value.
    """

    name: str
    kind: str
    meaning: str
    required: bool = False


def _parse_text(raw: object, _: str | None) -> Value:
    """Parse text. Some older programs write text to Parquet files as bytes."""
    if isinstance(raw, bytes):
        try:
            return raw.decode().strip()
        except UnicodeDecodeError:
            raise InvalidValue("must be text") from None
    if isinstance(raw, list | dict | timedelta):
        raise InvalidValue("must be text")
    return str(raw).strip()


def _parse_flag(raw: object, _: str | None) -> Value:
    text = str(raw).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise InvalidValue("must be true or false (also yes and no, 1 and 0)")


_LARGEST = 2**63 - 1
_TOO_LARGE = f"must be from -{_LARGEST} to {_LARGEST}"


_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,][0-9]{3})+")
"""A number that may have decimals or groups of thousands, depending on the country."""


def parse_integer(raw: object, times: Decimal = Decimal(1), decimal: str | None = None) -> int:
    """Parse a whole number. With a unit (`times`), decimals are allowed and rounded half up.

    Args:
        raw: A number or text.
        times: The unit.
        decimal: The decimal separator of text; None is a point, unless the number could have
            groups of thousands, which are not supported.
    """
    text = str(raw).strip()
    if isinstance(raw, str) and decimal is None and _GROUPED.fullmatch(text):
        raise InvalidValue(
            "is ambiguous: write it without separators of thousands, and set `decimal` to '.' or "
            "',' in a mapping"
        )
    if isinstance(raw, str) and decimal == ",":
        # A point then separates thousands at best, and must not become the decimal separator.
        text = text.replace(".", "?").replace(",", ".")
    written = parse_decimal(text)
    if written is None:
        is_comma_unset = decimal is None and "," in text
        hint = "; for decimal commas, set `decimal` in a mapping" if is_comma_unset else ""
        raise InvalidValue(f"must be a number{hint}")
    number = written * times
    if abs(number) > _LARGEST:
        raise InvalidValue(_TOO_LARGE)
    whole = number.to_integral_value(ROUND_HALF_UP)
    if times == 1 and whole != number:
        raise InvalidValue("must be a whole number")
    return int(whole)


def parse_timestamp(raw: object, form: str | None = None) -> datetime:
    """Parse a time. Without an offset it is in UTC; a date means the start of that day.

    Args:
        raw: A `datetime`, a `date`, or text.
        form: A `strptime` format for text; None is ISO 8601.
    """
    if isinstance(raw, datetime):
        parsed = raw
    elif isinstance(raw, date):
        parsed = datetime.combine(raw, time())
    else:
        parsed = _parse_time(str(raw).strip(), form)
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidValue("must be a time in the years 1 to 9999 in UTC") from None


def _parse_time(text: str, form: str | None) -> datetime:
    try:
        if form is not None:
            return datetime.strptime(text, form)  # noqa: DTZ007  the caller sets UTC
        return datetime.fromisoformat(text)
    except ValueError:
        expected = form or "YYYY-MM-DD or YYYY-MM-DDThh:mm:ss, with Z or an offset"
        raise InvalidValue(f"must be a time, written as {expected}") from None


PARSERS: Mapping[str, Callable[[Any, str | None], Value]] = {
    "text": _parse_text,
    "flag": _parse_flag,
    "timestamp": parse_timestamp,
}

_AT = Column("at", "timestamp", "when the row was true; if missing, --at or the mapping's `at`")

TABLES: Mapping[str, tuple[Column, ...]] = {
    "directory": (
        Column("username", "text", "the user; a row without one describes only a workspace"),
        Column("email", "text", "the user's email"),
        Column("created_at", "timestamp", "when the account was created"),
        Column("deleted_at", "timestamp", "when the account was deleted"),
        Column("role", "text", "ADMIN or MEMBER"),
        Column("service_account", "flag", "whether the account belongs to a program"),
        Column("suspended", "flag", "whether the account is suspended"),
        Column("workspace", "text", "a workspace that the user is a member of; one per row"),
        Column("project", "text", "a project of that workspace"),
        _AT,
    ),
    "experiments": (
        Column("experiment", "text", "the experiment's identifier", required=True),
        Column("workspace", "text", "the workspace it is counted in", required=True),
        Column("project", "text", "the project it is counted in", required=True),
        Column("username", "text", "the owner", required=True),
        Column("size_bytes", "number", "the size in bytes"),
        Column("created_at", "timestamp", "when it was created"),
        Column("deleted_at", "timestamp", "when it was deleted"),
        _AT,
    ),
    "usage": (
        Column("username", "text", "who used the platform", required=True),
        Column("channel", "text", "ui or sdk", required=True),
        Column("count", "number", "how many uses; 1 by default"),
        Column("id", "text", "the use's identifier; it distinguishes otherwise identical rows"),
        Column("at", "timestamp", "when; if missing, --at or the mapping's `at`"),
    ),
}
