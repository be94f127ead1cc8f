"""Errors are those of standard execution, and no batch function is called twice."""
# Batch functions take no self, and their annotation is the type of the field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError
from strawberry import Info

from resolvers.rows import Grouped, Selection
from schema.execution import batched, column, embedded
from tests.execution.compare_executors import ExecutorComparison, Outcome, fetch_rows

ITEMS: dict[Any, list[tuple[Any, ...]]] = {"a": [("x", 1), ("y", None)], "b": [("z", 2)], "c": []}
"""The second item has no count."""


def halve(count: int) -> float:
    if count == 1:
        raise ValueError("1 has no half")
    return count / 2


@strawberry.type
class Item:
    name: str = column()
    count: int = column()
    maybe: int | None = column("count")
    half: float | None = column("count", convert=halve)
    missing: str | None = column()

    @batched(key="name")
    async def box(info: Info, keys: Sequence[str], selection: Selection) -> "Box | None":
        return fetch_rows(info, keys, selection, "label", {key: [(key,)] for key in keys})


@strawberry.type
class Lid:
    count: int = column()


@strawberry.type
class Box:
    label: str = column()
    lid: Lid = embedded()

    @batched(key="label")
    async def all_required(info: Info, keys: Sequence[str], selection: Selection) -> list[Item]:
        return fetch_rows(info, keys, selection, "name count", ITEMS)

    @batched(key="label")
    async def null_list(
        info: Info, keys: Sequence[str], selection: Selection
    ) -> list[Item] | None:
        return fetch_rows(info, keys, selection, "name count", ITEMS)

    @batched(key="label")
    async def null_items(
        info: Info, keys: Sequence[str], selection: Selection
    ) -> list[Item | None]:
        return fetch_rows(info, keys, selection, "name count", ITEMS)

    @batched(key="label")
    async def one(info: Info, keys: Sequence[str], selection: Selection) -> Item | None:
        return fetch_rows(info, keys, selection, "name count", {"a": ITEMS["a"][1:]})

    @batched(key="label")
    async def required_one(info: Info, keys: Sequence[str], selection: Selection) -> Item:
        return fetch_rows(info, keys, selection, "name count", {"a": ITEMS["a"][1:]})

    @batched(key="label")
    async def broken(info: Info, keys: Sequence[str], selection: Selection) -> list[Item] | None:
        fetch_rows(info, keys, selection, "", {})
        raise RuntimeError("out of order")

    @batched(key="label")
    def refused(info: Info, keys: Sequence[str], selection: Selection) -> Item | None:
        fetch_rows(info, keys, selection, "", {})
        raise GraphQLError("refused", extensions={"code": "REFUSED"})

    @batched(key="label", graphql_type=list[Item] | None)
    async def too_few(info: Info, keys: Sequence[str], selection: Selection) -> Grouped:
        fetch_rows(info, keys, selection, "", {})
        return Grouped({}, [])

    @batched(key="label")
    async def too_many(info: Info, keys: Sequence[str], selection: Selection) -> Item | None:
        return fetch_rows(info, keys, selection, "name count", {"a": ITEMS["a"]})

    @batched(key="label", graphql_type=list[Item] | None)
    async def nothing(info: Info, keys: Sequence[str], selection: Selection) -> None:
        fetch_rows(info, keys, selection, "", {})

    @batched(key="colour")
    async def keyless(info: Info, keys: Sequence[str], selection: Selection) -> Item | None:
        return fetch_rows(info, keys, selection, "", {})


BOXES = {(): [("a", None), ("b", 5), ("c", 6)]}


@strawberry.type
class Query:
    @batched(key=())
    async def boxes(info: Info, keys: Sequence[Any], selection: Selection) -> list[Box | None]:
        return fetch_rows(info, keys, selection, "label count", BOXES)

    @batched(key=())
    async def strict_boxes(info: Info, keys: Sequence[Any], selection: Selection) -> list[Box]:
        return fetch_rows(info, keys, selection, "label count", BOXES)

    @batched(key=())
    async def box(info: Info, keys: Sequence[Any], selection: Selection, label: str) -> Box | None:
        rows = {(): [row for row in BOXES[()] if row[0] == label]}
        return fetch_rows(info, keys, selection, "label count", rows)


STORE = ExecutorComparison(Query)
NO_COUNT = "Cannot return null for non-nullable field Item.count."


async def run(document: str) -> Outcome:
    """Run a document and check that no level was called twice."""
    outcome = await STORE.run(document)
    assert set(Counter(call.place for call in outcome.calls).values()) == {1}
    return outcome


@pytest.mark.parametrize(
    ("field", "first", "path"),
    [
        ("nullItems", {"nullItems": [{"count": 1}, None]}, ["boxes", 0, "nullItems", 1, "count"]),
        ("nullList", {"nullList": None}, ["boxes", 0, "nullList", 1, "count"]),
        ("allRequired", None, ["boxes", 0, "allRequired", 1, "count"]),
        ("one", {"one": None}, ["boxes", 0, "one", "count"]),
    ],
)
async def test_a_null_propagates_to_the_next_nullable_parent(
    field: str, first: Any, path: list[str | int]
) -> None:
    outcome = await run(f"{{ boxes {{ {field} {{ count }} }} }}")

    others = {"one": [None, None]}.get(field, [[{"count": 2}], []])
    assert outcome.data == {"boxes": [first, *({field: other} for other in others)]}
    assert outcome.errors == [(NO_COUNT, path)]


async def test_a_null_propagates_to_the_whole_response() -> None:
    outcome = await run("{ strictBoxes { label allRequired { count } } }")

    assert outcome.data is None
    assert outcome.errors == [(NO_COUNT, ["strictBoxes", 0, "allRequired", 1, "count"])]


async def test_a_required_object_without_a_row_is_an_error() -> None:
    outcome = await run("{ boxes { label requiredOne { name } } }")

    message = "Cannot return null for non-nullable field Box.requiredOne."
    assert outcome.data == {"boxes": [{"label": "a", "requiredOne": {"name": "y"}}, None, None]}
    assert outcome.errors == [
        (message, ["boxes", 1, "requiredOne"]),
        (message, ["boxes", 2, "requiredOne"]),
    ]


async def test_a_null_in_an_embedded_object_is_an_error() -> None:
    outcome = await run("{ boxes { lid { count } } }")

    assert outcome.data == {
        "boxes": [None, {"lid": {"count": 5}}, {"lid": {"count": 6}}],
    }
    assert outcome.errors == [
        ("Cannot return null for non-nullable field Lid.count.", ["boxes", 0, "lid", "count"])
    ]


async def test_an_error_in_convert_affects_only_its_value() -> None:
    outcome = await run("{ boxes { nullItems { name half maybe } } }")

    assert outcome.data["boxes"][0]["nullItems"] == [
        {"name": "x", "half": None, "maybe": 1},
        {"name": "y", "half": None, "maybe": None},
    ]
    assert outcome.errors == [("1 has no half", ["boxes", 0, "nullItems", 0, "half"])]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("broken", "out of order"),
        ("refused", "refused"),
        ("tooFew", "too_few returned 0 groups for 3 keys."),
        ("tooMany", "too_many is no list, but a group has more than one row."),
        ("nothing", "'NoneType' object has no attribute 'groups'"),
        ("keyless", "The batch function returned no column 'colour'."),
    ],
)
async def test_a_failed_call_is_reported_for_each_parent(field: str, message: str) -> None:
    outcome = await run(f"{{ boxes {{ label {field} {{ name }} }} }}")

    assert outcome.data == {"boxes": [{"label": label, field: None} for label in "abc"]}
    assert outcome.errors == [(message, ["boxes", index, field]) for index in range(3)]


async def test_a_missing_column_is_an_error() -> None:
    outcome = await run("{ boxes { nullItems { missing } } }")

    message = "The batch function returned no column 'missing'."
    assert outcome.errors == [
        (message, ["boxes", 0, "nullItems", 0, "missing"]),
        (message, ["boxes", 0, "nullItems", 1, "missing"]),
        (message, ["boxes", 1, "nullItems", 0, "missing"]),
    ]


async def test_errors_in_several_levels_and_aliases_are_all_reported() -> None:
    outcome = await run(
        """
        { boxes { label broken { name } again: broken { name } nullItems { half box { broken {
          name } lid { count } } } }
          box(label: "b") { one { count } requiredOne { name } }
          other: box(label: "a") { one { count } allRequired { count } } }
        """
    )

    # Three errors each of `broken` and `again`, one of `half`, three of lids without a count
    # (one per item), one of `requiredOne` without a row, and two null counts below `other`.
    assert outcome.data["box"] is outcome.data["other"] is None
    assert len(outcome.errors) == 3 + 3 + 1 + 3 + 1 + 2


async def test_fields_below_a_null_report_no_errors() -> None:
    outcome = await run("{ boxes { lid { count } broken { name } one { count } label } }")

    assert outcome.data["boxes"][0] is None
    assert [path for _, path in outcome.errors] == [
        ["boxes", 0, "lid", "count"],
        ["boxes", 1, "broken"],
        ["boxes", 2, "broken"],
    ]


async def test_a_bad_argument_of_a_nested_field_is_reported_alike() -> None:
    @strawberry.type
    class Shelf:
        label: str = column()

        @batched(key="label")
        async def items(
            info: Info, keys: Sequence[str], selection: Selection, tag: strawberry.scalars.Base64
        ) -> list[Item] | None:
            return fetch_rows(info, keys, selection, "name count", ITEMS, tag=tag)

    @strawberry.type
    class Shelves:
        @batched(key=())
        async def shelves(info: Info, keys: Sequence[Any], selection: Selection) -> list[Shelf]:
            return fetch_rows(info, keys, selection, "label", {(): [("a",), ("b",)]})

    outcome = await ExecutorComparison(Shelves).run(
        '{ shelves { label items(tag: "eA==") { name } } }'
    )
    assert outcome.calls[1].arguments == {"tag": b"x"}

    await ExecutorComparison(Shelves).run(
        "query ($tag: Base64!) { shelves { items(tag: $tag) { name } } }"
    )
