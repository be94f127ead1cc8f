"""The tables that can be imported, their columns, and how a cell becomes a value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, DecimalException, InvalidOperation
from typing import Any

Value = Any
_TRUE = frozenset({"true", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "no", "n", "off"})


class InvalidValue(Exception):
    """A cell that cannot be what its column is; the words say what it must be."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ours: what it is called, what it holds, whether each row needs it."""

    name: str
    kind: str
    meaning: str
    required: bool = False


def _text(cell: Any, _: str | None) -> Value:
    """Text; in Parquet files also as bytes, which older writers leave it as."""
    if isinstance(cell, bytes):
        try:
            return cell.decode().strip()
        except UnicodeDecodeError:
            raise InvalidValue("must be text") from None
    if isinstance(cell, list | dict):
        raise InvalidValue("must be text")
    return str(cell).strip()


def _flag(cell: Any, _: str | None) -> Value:
    written = str(cell).strip().lower()
    if written in _TRUE | _FALSE:
        return written in _TRUE
    raise InvalidValue("must be true or false (also yes and no, 1 and 0)")


_LARGEST = 2**63 - 1
_TOO_LARGE = f"must be from -{_LARGEST} to {_LARGEST}"


def parse_integer(cell: Any, times: Decimal = Decimal(1)) -> int:
    """Parse a whole number. With a unit (`times`), decimals are allowed and rounded half up."""
    try:
        found = Decimal(str(cell).strip()) * times
    except InvalidOperation:
        raise InvalidValue("must be a number") from None
    except DecimalException:
        raise InvalidValue(_TOO_LARGE) from None
    if not found.is_finite():
        raise InvalidValue("must be a number")
    if abs(found) > _LARGEST:
        raise InvalidValue(_TOO_LARGE)
    whole = found.to_integral_value(ROUND_HALF_UP)
    if times == 1 and whole != found:
        raise InvalidValue("must be a whole number")
    return int(whole)


def parse_timestamp(cell: Any, form: str | None = None) -> datetime:
    """A moment; one without an offset is in UTC, a day is its first parse_timestamp."""
    if isinstance(cell, datetime):
        found = cell
    elif isinstance(cell, date):
        found = datetime.combine(cell, time())
    else:
        found = _parsed(str(cell).strip(), form)
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidValue("must be a moment of the years 1 to 9999 in UTC") from None


def _parsed(written: str, form: str | None) -> datetime:
    try:
        if form is not None:
            return datetime.strptime(written, form)  # noqa: DTZ007  made UTC by its caller
        return datetime.fromisoformat(written)
    except ValueError:
        wanted = form or "YYYY-MM-DD or YYYY-MM-DDThh:mm:ss, with Z or an offset"
        raise InvalidValue(f"must be a moment, written {wanted}") from None


KINDS: Mapping[str, Callable[[Any, str | None], Value]] = {
    "text": _text,
    "flag": _flag,
    "moment": parse_timestamp,
}

_AT = Column("at", "moment", "when the row was true; --at or the mapping's `at` for all rows")

TABLES: Mapping[str, tuple[Column, ...]] = {
    "directory": (
        Column("username", "text", "the user; a row without one is about the workspace alone"),
        Column("email", "text", "the user's email"),
        Column("created_at", "moment", "when the account was created"),
        Column("deleted_at", "moment", "when the account was deleted"),
        Column("role", "text", "ADMIN or MEMBER"),
        Column("service_account", "flag", "whether it is a program's account"),
        Column("suspended", "flag", "whether it is suspended"),
        Column("workspace", "text", "a workspace that the user is a member of; one a row"),
        Column("project", "text", "a project of that workspace"),
        _AT,
    ),
    "experiments": (
        Column("experiment", "text", "the identifier of the experiment", required=True),
        Column("workspace", "text", "where it is counted", required=True),
        Column("project", "text", "where it is counted", required=True),
        Column("username", "text", "who owns it", required=True),
        Column("size_bytes", "number", "its size"),
        Column("created_at", "moment", "when it was created"),
        Column("deleted_at", "moment", "when it was deleted"),
        _AT,
    ),
    "usage": (
        Column("username", "text", "who used the platform", required=True),
        Column("channel", "text", "ui or sdk", required=True),
        Column("count", "number", "how many uses; 1 unless said"),
        Column(
            "id", "text", "the identifier of the use; rows that are alike are told apart by it"
        ),
        Column("at", "moment", "when; --at or the mapping's `at` for all rows"),
    ),
}
