"""Scalars and enums get the same values and errors as in standard execution."""
# Batch functions take no self, and their annotation is the type of the field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

import datetime
import decimal
import enum
import uuid
from collections.abc import Sequence
from typing import Any, NewType

import pytest
import strawberry
from graphql.pyutils import Undefined
from strawberry import Info
from strawberry.schema.config import StrawberryConfig

from resolvers.rows import Selection
from schema.execution import batched, column
from tests.execution.compare_executors import ExecutorComparison, fetch_rows
from tests.execution.toy_league import Later

Even = NewType("Even", int)


class Text(str):
    __slots__ = ()


class Unprintable:
    """An object that no scalar can serialize."""

    def __str__(self) -> str:
        raise ValueError("unprintable")


class Proxy:
    """An object with a custom `__getattr__`."""

    def __getattr__(self, name: str) -> str:
        raise AttributeError(name)

    def __str__(self) -> str:
        return "proxy"


@strawberry.enum
class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


def write_even(value: Any) -> Any:
    if value == 3:
        raise ValueError("3 is odd")
    return Undefined if value == 5 else value or None


def twice(value: Any) -> Any:
    return None if value == 0 else value * 2


@strawberry.type
class Leaves:
    text: str | None = column("value")
    id: strawberry.ID | None = column("value")
    whole: int | None = column("value")
    fraction: float | None = column("value")
    truth: bool | None = column("value")
    colour: Colour | None = column("value")
    even: Even | None = column("value")
    day: datetime.date | None = column("value")
    instant: datetime.datetime | None = column("value")
    identity: uuid.UUID | None = column("value")
    exact: decimal.Decimal | None = column("value")
    anything: strawberry.scalars.JSON | None = column("value")
    twice: float | None = column("value", convert=twice)


@strawberry.type
class RequiredLeaves:
    text: str = column("value")
    id: strawberry.ID = column("value")
    whole: int = column("value")
    fraction: float = column("value")
    truth: bool = column("value")
    colour: Colour = column("value")
    even: Even = column("value")
    anything: strawberry.scalars.JSON = column("value")
    twice: float = column("value", convert=twice)


VALUES: dict[str, list[Any]] = {
    "strings": ["", "a", "r", "true", "1"],
    "words": ["a", Text("b"), "RED"],
    "small integers": [0, 1, 2**31 - 1, -(2**31)],
    "large integers": [2**31, -(2**31) - 1, 2**53, 2**53 + 1, 10**400],
    "floats": [0.0, 1.5, 1e300, -0.0],
    "integral floats": [2.0, 3.0],
    "not finite": [float("nan"), float("inf"), float("-inf")],
    "booleans": [True, False],
    "mixed": [1, 1.5, "2", True, "x"],
    "colours": [Colour.RED, Colour.BLUE],
    "colour values": ["r", "b", "r"],
    "unknown colours": ["g"],
    "mixed colours": [Colour.RED, "b"],
    "integers": [2, 3, 5],
    "unhashable": [[], {}, ["r"]],
    "days": [datetime.date(2026, 2, 28)],
    "instants": [datetime.datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=datetime.UTC)],
    "uuids": [uuid.UUID(int=7)],
    "decimals": [decimal.Decimal("1.5"), decimal.Decimal(2), decimal.Decimal("NaN")],
    "exceptions": [ValueError("raised from a row"), strawberry.exceptions.StrawberryException],
    "undefined": [Undefined],
    "awaitables": [Later()],
    "objects": [object(), Unprintable()],
    "proxies": [Proxy()],
    "none": [None],
}


@strawberry.type
class Query:
    @batched(key=())
    async def leaves(
        info: Info, keys: Sequence[Any], selection: Selection, about: str, nulls: bool = False
    ) -> list[Leaves | None]:
        rows = [(value,) for value in VALUES[about]] + [(None,)] * nulls
        return fetch_rows(info, keys, selection, "value", {(): rows})

    @batched(key=())
    async def required(
        info: Info, keys: Sequence[Any], selection: Selection, about: str, nulls: bool = False
    ) -> list[RequiredLeaves | None] | None:
        rows = [(value,) for value in VALUES[about]] + [(None,)] * nulls
        return fetch_rows(info, keys, selection, "value", {(): rows})


SCALARS = ExecutorComparison(
    Query,
    config=StrawberryConfig(
        scalar_map={Even: strawberry.scalar(name="Even", serialize=write_even)}
    ),
)


@pytest.mark.parametrize("about", VALUES)
@pytest.mark.parametrize("name", Leaves.__annotations__)
async def test_a_nullable_leaf_equals_standard_execution(name: str, about: str) -> None:
    document = f"query ($a: String!, $n: Boolean!) {{ leaves(about: $a, nulls: $n) {{ {name} }} }}"
    await SCALARS.run(document, a=about, n=False)
    await SCALARS.run(document, a=about, n=True)


@pytest.mark.parametrize("about", VALUES)
@pytest.mark.parametrize("name", RequiredLeaves.__annotations__)
async def test_a_required_leaf_equals_standard_execution(name: str, about: str) -> None:
    document = (
        f"query ($a: String!, $n: Boolean!) {{ required(about: $a, nulls: $n) {{ {name} }} }}"
    )
    await SCALARS.run(document, a=about, n=False)
    await SCALARS.run(document, a=about, n=True)


@pytest.mark.parametrize(
    ("name", "about", "values"),
    [
        ("text", "strings", ["", "a", "r", "true", "1"]),
        ("text", "small integers", ["0", "1", "2147483647", "-2147483648"]),
        ("id", "uuids", ["00000000-0000-0000-0000-000000000007"]),
        ("whole", "integral floats", [2, 3]),
        ("fraction", "small integers", [0.0, 1.0, 2147483647.0, -2147483648.0]),
        ("truth", "small integers", [False, True, True, True]),
        ("colour", "colours", ["RED", "BLUE"]),
        ("colour", "colour values", ["RED", "BLUE", "RED"]),
        ("colour", "mixed colours", ["RED", "BLUE"]),
        ("instant", "instants", ["2026-02-28T23:59:59.999999+00:00"]),
        ("twice", "floats", [None, 3.0, 2e300, None]),
    ],
)
async def test_leaves_are_completed_without_objects(
    name: str, about: str, values: list[Any]
) -> None:
    outcome = await SCALARS.run(f'{{ leaves(about: "{about}") {{ {name} }} }}')

    assert [each[name] for each in outcome.data["leaves"]] == values
    assert [type(each[name]) for each in outcome.data["leaves"]] == list(map(type, values))
    assert outcome.objects == []
