"""Standard execution beside, above and below levels that are completed breadth first."""
# Batch functions take no self, and their annotation is the type of the field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Sequence
from copy import copy
from typing import Annotated, Any, Generic, TypeVar

import pytest
import strawberry
from strawberry import Info
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from resolvers.rows import Grouped, Selection
from schema.execution import BreadthFirstExecutor, batched, column, embedded
from tests.execution.compare_executors import ExecutorComparison, Journal, fetch_rows

T = TypeVar("T")
EXECUTOR_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"execution_context_class": BreadthFirstExecutor},
)
"""The options of a schema for each executor: Strawberry's, and ours."""

BOOKS: dict[Any, list[tuple[Any, ...]]] = {
    "ann": [("Dunes", 300), ("Tides", 120)],
    "bob": [("Stars", 90)],
}
PAGES: dict[Any, list[tuple[Any, ...]]] = {
    title: [(number, f"{title} {number}") for number in range(2)]
    for title in ("Dunes", "Tides", "Stars")
}


class OnlyAnn(BasePermission):
    message = "Ann only."

    async def has_permission(self, source: Any, info: Info, **kwargs: Any) -> bool:
        return bool(source.name == "ann")


class Reverse(FieldExtension):
    async def resolve_async(self, next_: Any, source: Any, info: Info, **kwargs: Any) -> list[Any]:
        books: list[Any] = await next_(source, info, **kwargs)
        return books[::-1]


class AtMostForAnn(FieldExtension):
    """Passes different arguments for one of the parents."""

    async def resolve_async(self, next_: Any, source: Any, info: Info, **kwargs: Any) -> Any:
        return await next_(source, info, most=1 if source.name == "ann" else 7)


@strawberry.type
class Page:
    number: int = column()
    text: str = column()


@strawberry.type
class Cover:
    page_count: int = column("length")

    @strawberry.field
    def is_thick(self) -> bool:
        return self.page_count > 100


@strawberry.type
class Book:
    title: str = column()
    page_count: int = column("length", convert=lambda length: length + 2)
    cover: Cover = embedded()
    words: list[str] = column("title", convert=lambda title: [title, title.upper()])

    @strawberry.field
    def label(self) -> str:
        return f"{self.title}, {self.page_count} pages, {self.inner_pages} inner"

    @strawberry.field
    async def thickness(self, factor: int = 1) -> int:
        await asyncio.sleep(0)
        return self.cover.page_count * factor

    @property
    def inner_pages(self) -> int:
        return self.length  # type: ignore[attr-defined]  # a column of the row

    @batched(key="title")
    async def pages(info: Info, keys: Sequence[str], selection: Selection) -> list[Page]:
        return fetch_rows(info, keys, selection, "number text", PAGES)


@strawberry.type
class Author:
    name: str = column()

    @batched(key="name")
    async def books(info: Info, keys: Sequence[str], selection: Selection) -> list[Book]:
        return fetch_rows(info, keys, selection, "title length", BOOKS)

    @batched(key="name", permission_classes=[OnlyAnn])
    async def drafts(info: Info, keys: Sequence[str], selection: Selection) -> list[Book] | None:
        return fetch_rows(info, keys, selection, "title length", BOOKS)

    @batched(key="name", extensions=[Reverse()])
    def reversed(info: Info, keys: Sequence[str], selection: Selection) -> list[Book]:
        return fetch_rows(info, keys, selection, "title length", BOOKS)

    @batched(key="name", extensions=[AtMostForAnn()])
    async def some(
        info: Info, keys: Sequence[str], selection: Selection, most: int = 0
    ) -> list[Book]:
        rows = {key: group[:most] for key, group in BOOKS.items()}
        return fetch_rows(info, keys, selection, "title length", rows, most=most)


@strawberry.type
class Shelf:
    """An object that is not made from a row."""

    name: str

    @batched(key="name")
    async def books(info: Info, keys: Sequence[str], selection: Selection) -> list[Book]:
        return fetch_rows(info, keys, selection, "title length", BOOKS)


@strawberry.type
class Query:
    @batched(key=())
    async def authors(info: Info, keys: Sequence[Any], selection: Selection) -> list[Author]:
        return fetch_rows(info, keys, selection, "name", {(): [("ann",), ("bob",)]})

    @strawberry.field
    async def shelves(self) -> list[Shelf]:
        return [Shelf(name="ann"), Shelf(name="bob")]

    @strawberry.field
    def page(self) -> Page:
        return Page(number=7, text="loose")


LIBRARY = ExecutorComparison(Query)


async def test_ordinary_resolvers_see_a_row_as_an_object_of_its_type() -> None:
    outcome = await LIBRARY.run("{ authors { books { label thickness(factor: 2) title } } }")

    assert outcome.data["authors"][1] == {
        "books": [
            {"label": "Stars, 92 pages, 90 inner", "thickness": 180, "title": "Stars"},
        ]
    }
    assert outcome.calls[1].selection == {"title", "length"}


async def test_levels_below_ordinary_resolvers_are_completed_breadth_first() -> None:
    outcome = await LIBRARY.run("{ authors { books { label pages { text } } } }")

    assert [sorted(call.keys) for call in outcome.calls] == [
        [()],
        ["ann", "bob"],
        ["Dunes", "Stars", "Tides"],
    ]
    assert set(outcome.objects) == {"Author", "Book"}


async def test_levels_beside_ordinary_resolvers_are_completed_breadth_first() -> None:
    outcome = await LIBRARY.run(
        "{ a: authors { books { label } } authors { books { title pages { number } } } }"
    )

    assert outcome.data["authors"][0]["books"][0]["pages"] == [{"number": 0}, {"number": 1}]
    assert outcome.objects.count("Author") == 2
    assert outcome.objects.count("Page") == 0


async def test_embedded_objects_may_have_ordinary_resolvers() -> None:
    outcome = await LIBRARY.run("{ authors { books { cover { isThick pageCount } } } }")

    assert outcome.data["authors"][0]["books"] == [
        {"cover": {"isThick": True, "pageCount": 300}},
        {"cover": {"isThick": True, "pageCount": 120}},
    ]


async def test_a_column_may_contain_a_list() -> None:
    outcome = await LIBRARY.run("{ authors { books { words } } }")

    assert outcome.data["authors"][1] == {"books": [{"words": ["Stars", "STARS"]}]}


async def test_objects_without_a_row_may_have_batched_fields() -> None:
    outcome = await LIBRARY.run("{ shelves { name books { title } } page { text number } }")

    assert outcome.data["shelves"][1] == {"name": "bob", "books": [{"title": "Stars"}]}
    assert outcome.data["page"] == {"text": "loose", "number": 7}
    assert [call.keys for call in outcome.calls] == [["ann", "bob"]]
    assert "Book" not in outcome.objects


async def test_permissions_are_checked_for_each_parent() -> None:
    outcome = await LIBRARY.run("{ authors { drafts { title pages { number } } } }")

    assert outcome.data["authors"][1] == {"drafts": None}
    assert outcome.errors == [("Ann only.", ["authors", 1, "drafts"])]
    assert [call.keys for call in outcome.calls if call.name == "drafts"] == [["ann"]]


async def test_extensions_see_the_objects_of_each_parent() -> None:
    outcome = await LIBRARY.run("{ authors { reversed { title pages { number } } } }")

    assert [book["title"] for book in outcome.data["authors"][0]["reversed"]] == ["Tides", "Dunes"]
    assert [call.keys for call in outcome.calls if call.name == "reversed"] == [["ann", "bob"]]


async def test_parents_with_different_arguments_are_different_levels() -> None:
    outcome = await LIBRARY.run("{ authors { some { title } } }")

    assert [len(author["some"]) for author in outcome.data["authors"]] == [1, 1]
    assert [(call.keys, call.arguments) for call in outcome.calls if call.name == "some"] == [
        (["ann"], {"most": 1}),
        (["bob"], {"most": 7}),
    ]


async def test_introspection_works_beside_batched_fields() -> None:
    outcome = await LIBRARY.run('{ __type(name: "Page") { name } authors { name } __typename }')

    assert outcome.data["__type"] == {"name": "Page"}


@strawberry.interface
class Animal:
    name: str = column()


@strawberry.type
class Cat(Animal):
    lives: int = column()

    @batched(key="name")
    async def mice(info: Info, keys: Sequence[str], selection: Selection) -> "list[Mouse]":
        return fetch_rows(info, keys, selection, "name", {"tom": [("jerry",)]})


@strawberry.type
class Mouse(Animal):
    pass


@strawberry.type
class Stone:
    weight: int = column()

    @classmethod
    def is_type_of(cls, obj: Any, info: Info) -> bool:
        return bool(obj.weight != 13)


@strawberry.type
class Zoo:
    @batched(key=())
    async def animals(info: Info, keys: Sequence[Any], selection: Selection) -> list[Animal]:
        rows = [("Cat", "tom", 9), ("Mouse", "jerry", None)]
        return fetch_rows(info, keys, selection, "__typename name lives", {(): rows})

    @batched(key=())
    async def things(
        info: Info, keys: Sequence[Any], selection: Selection
    ) -> list[Annotated[Cat | Stone, strawberry.union("Thing")] | None]:
        rows = [("Cat", "tom", 9, 0), ("Stone", "", 0, 5), ("Tree", "oak", 0, 13)]
        return fetch_rows(info, keys, selection, "__typename name lives weight", {(): rows})

    @batched(key=())
    async def cats(info: Info, keys: Sequence[Any], selection: Selection) -> list[Cat]:
        return fetch_rows(info, keys, selection, "name lives", {(): [("tom", 9)]})

    @batched(key=())
    async def stones(info: Info, keys: Sequence[Any], selection: Selection) -> list[Stone | None]:
        return fetch_rows(info, keys, selection, "weight", {(): [(1,), (13,)]})


async def test_rows_of_an_interface_get_the_fields_of_their_type() -> None:
    outcome = await ExecutorComparison(Zoo, types=[Cat, Mouse]).run(
        "{ animals { __typename name ... on Cat { lives mice { name } } } }"
    )

    assert outcome.data["animals"] == [
        {"__typename": "Cat", "name": "tom", "lives": 9, "mice": [{"name": "jerry"}]},
        {"__typename": "Mouse", "name": "jerry"},
    ]
    assert outcome.calls[0].selection == {"__typename", "name", "lives"}


async def test_a_row_of_an_unknown_union_member_is_null_with_an_error() -> None:
    outcome = await ExecutorComparison(Zoo, types=[Cat, Mouse]).run(
        "{ things { ... on Cat { name } ... on Stone { weight } } }"
    )

    assert outcome.data["things"] == [{"name": "tom"}, {"weight": 5}, None]
    assert [path for _, path in outcome.errors] == [["things", 2]]


async def test_types_that_have_interfaces_are_completed_breadth_first() -> None:
    outcome = await ExecutorComparison(Zoo, types=[Cat, Mouse]).run(
        "{ cats { name ... on Animal { also: name } mice { __typename name } } }"
    )

    assert outcome.data["cats"] == [
        {"name": "tom", "also": "tom", "mice": [{"__typename": "Mouse", "name": "jerry"}]}
    ]
    assert outcome.objects == []


async def test_is_type_of_is_checked() -> None:
    outcome = await ExecutorComparison(Zoo, types=[Cat, Mouse]).run("{ stones { weight } }")

    assert outcome.data["stones"] == [{"weight": 1}, None]
    assert [path for _, path in outcome.errors] == [["stones", 1]]


async def test_generic_types_are_completed_breadth_first() -> None:
    @strawberry.type
    class Edge(Generic[T]):
        cursor: str = column("name", convert=str.upper)
        node: T = embedded()

    @strawberry.type
    class Edges:
        @batched(key=())
        async def cats(info: Info, keys: Sequence[Any], selection: Selection) -> list[Edge[Cat]]:
            return fetch_rows(info, keys, selection, "name lives", {(): [("tom", 9)]})

    outcome = await ExecutorComparison(Edges).run(
        "{ cats { cursor node { name mice { name } } } }"
    )

    assert outcome.data["cats"] == [
        {"cursor": "TOM", "node": {"name": "tom", "mice": [{"name": "jerry"}]}}
    ]
    assert outcome.objects == []


class Shout(SchemaExtension):
    """Wraps every resolver."""

    def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
        value = _next(root, info, *args, **kwargs)
        return value.upper() if isinstance(value, str) else value


async def test_a_schema_extension_wraps_every_resolver() -> None:
    outcome = await ExecutorComparison(Query, extensions=[Shout]).run(
        "{ authors { name books { title } } }"
    )

    assert outcome.data["authors"][1] == {"name": "BOB", "books": [{"title": "STARS"}]}


@strawberry.type
class Mutation:
    @batched(key=())
    async def write(
        info: Info, keys: Sequence[Any], selection: Selection, title: str
    ) -> Book | None:
        if title == "":
            raise ValueError("no title")
        return fetch_rows(info, keys, selection, "title length", {(): [(title, 10)]}, title=title)


async def test_mutations_run_in_order_and_once() -> None:
    outcome = await ExecutorComparison(Query, mutation=Mutation).run(
        """
        mutation { a: write(title: "Tides") { title pages { text } } b: write(title: "") { title }
          c: write(title: "Dunes") { label } }
        """
    )

    assert outcome.data == {
        "a": {"title": "Tides", "pages": [{"text": "Tides 0"}, {"text": "Tides 1"}]},
        "b": None,
        "c": {"label": "Dunes, 12 pages, 10 inner"},
    }
    assert [call.place for call in outcome.calls] == [("a",), ("a", "pages"), ("c",)]


async def test_each_subscription_event_has_its_own_levels() -> None:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def shelves(self) -> AsyncIterator[Shelf]:
            yield Shelf(name="ann")
            yield Shelf(name="bob")

    for options in EXECUTOR_OPTIONS:
        schema = strawberry.Schema(Query, subscription=Subscription, **options)
        journal = Journal()
        events = await schema.subscribe(
            "subscription { shelves { name books { title } } }", context_value=journal
        )
        data: list[Any] = [event.data async for event in events]

        assert [event["shelves"]["books"][-1] for event in data] == [
            {"title": "Tides"},
            {"title": "Stars"},
        ]
        assert [call.keys for call in journal.calls] == [["ann"], ["bob"]]


@pytest.mark.parametrize(
    "document",
    [
        "{ authors { name ... @defer { books { title } } } }",
        "{ authors { name books @stream(initialCount: 1) { title pages { text } } } }",
        "{ authors @stream { name } }",
    ],
)
async def test_incremental_delivery_uses_standard_execution(document: str) -> None:
    config = StrawberryConfig(enable_experimental_incremental_execution=True)
    payloads = []
    for options in EXECUTOR_OPTIONS:
        schema = strawberry.Schema(Query, config=config, **options)
        result: Any = await schema.execute(document, context_value=Journal())
        rest = [repr(each.formatted) async for each in result.subsequent_results]
        payloads.append([repr(result.initial_result.formatted), *rest])

    assert payloads[0] == payloads[1]
    assert len(payloads[0]) > 1


async def test_a_batched_field_must_return_objects() -> None:
    @strawberry.type
    class Names:
        @batched(key=())
        async def names(info: Info, keys: Sequence[Any], selection: Selection) -> list[str]:
            return fetch_rows(info, keys, selection, "name", {})

    outcome = await ExecutorComparison(Names).run("{ names }")

    assert outcome.errors == [
        ("A batched field has no rows of type String: it is no object type.", ["names"])
    ]


async def test_cancelling_an_operation_cancels_its_batch_functions() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> Grouped:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Grouped({}, [])

    @strawberry.type
    class Slow:
        @batched(key=(), graphql_type=list[Page])
        def slow(info: Info, keys: Sequence[Any], selection: Selection) -> Awaitable[Grouped]:
            return wait()

    schema = strawberry.Schema(Slow, execution_context_class=BreadthFirstExecutor)
    running = asyncio.create_task(schema.execute("{ slow { text } }"))
    await started.wait()
    running.cancel()

    await asyncio.wait_for(cancelled.wait(), 5)


async def test_rows_and_results_are_freed_without_the_garbage_collector() -> None:
    class Word(str):
        __slots__ = ("__weakref__",)

    references: list[weakref.ref[Word]] = []

    @strawberry.type
    class Words:
        @batched(key=())
        async def pages(info: Info, keys: Sequence[Any], selection: Selection) -> list[Page]:
            words = [Word(number) for number in range(3)]
            references.extend(map(weakref.ref, words))
            return fetch_rows(info, keys, selection, "text", {(): [(word,) for word in words]})

    schema = strawberry.Schema(Words, execution_context_class=BreadthFirstExecutor)
    gc.disable()
    try:
        result = await schema.execute("{ pages { text } }", context_value=Journal())
        assert len(references) == 3
        assert result.errors is None
        del result
        await asyncio.sleep(0)
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


async def test_row_objects_can_be_copied() -> None:
    copies: list[str] = []

    @strawberry.type
    class Copied:
        name: str = column()

        @strawberry.field
        def copied(self) -> str:
            copies.append(copy(self).name)
            return copies[-1]

    @strawberry.type
    class Copies:
        @batched(key=())
        async def all(info: Info, keys: Sequence[Any], selection: Selection) -> list[Copied]:
            return fetch_rows(info, keys, selection, "name", {(): [("ann",)]})

    outcome = await ExecutorComparison(Copies).run("{ all { copied } }")

    assert outcome.data == {"all": [{"copied": "ann"}]}
