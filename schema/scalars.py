"""The custom scalars: months, days, instants, decimals and large integers.

`specified_by_url` names the grammar of what the service sends.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from app.domain.decimals import parse_decimal
from app.domain.months import Month

BigInt = NewType("BigInt", int)

_MAX_BIG_INT = 2**63 - 1
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_XML_SCHEMA = "https://www.w3.org/TR/xmlschema11-2/"
_RFC_3339 = "https://www.rfc-editor.org/rfc/rfc3339"


def _write_month(value: date | Month) -> str:
    return str(value if isinstance(value, Month) else Month.containing(value))


def _read_month(value: object) -> Month:
    return Month.parse(value if isinstance(value, str) else repr(value))


def _write_instant(value: datetime) -> datetime:
    """Return the instant in UTC, which the JSON encoder formats a hundred times faster."""
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _read_instant(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise GraphQLError(
            f"A DateTime must be like 2026-09-30T23:59:59Z; got {value!r}."
        ) from None
    if instant.tzinfo is None:
        raise GraphQLError(
            f"A DateTime must have a time zone, like 2026-09-30T23:59:59Z; got {value!r}."
        )
    return instant


def _read_day(value: object) -> date:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError(f"A Date must be like 2026-09-30; got {value!r}.")


def _write_decimal(value: Decimal) -> str:
    """Return the number without an exponent."""
    return format(value, "f")


def _read_decimal(value: object) -> Decimal:
    """Read a string or a JSON number; a client may send either."""
    number = None if isinstance(value, bool) else parse_decimal(str(value))
    if number is None:
        raise GraphQLError(f"A Decimal must be a number such as 12.50; got {value!r}.")
    return number


def _read_big_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_BIG_INT:
        raise GraphQLError(f"A BigInt must be an integer from -(2^63-1) to 2^63-1; got {value!r}.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    Month: strawberry.scalar(
        name="Month",
        description="A calendar month in UTC, in the form YYYY-MM, such as 2026-09.",
        specified_by_url=f"{_XML_SCHEMA}#gYearMonth",
        serialize=_write_month,
        parse_value=_read_month,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A signed 64-bit integer, as a JSON number. JavaScript loses precision beyond "
        "2^53.",
        specified_by_url=f"{_XML_SCHEMA}#long",
        serialize=int,
        parse_value=_read_big_int,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="A decimal number of any size, as a string without an exponent, such as "
        '"12.50". Arguments may also be JSON numbers, and have an exponent.',
        specified_by_url=f"{_XML_SCHEMA}#decimal",
        serialize=_write_decimal,
        parse_value=_read_decimal,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A day in UTC, such as 2026-09-30.",
        specified_by_url=_RFC_3339,
        serialize=date.isoformat,
        parse_value=_read_day,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC, such as 2026-09-30T23:59:59.999999Z. Arguments may have "
        "another offset, but need one.",
        specified_by_url=_RFC_3339,
        serialize=_write_instant,
        parse_value=_read_instant,
    ),
}
