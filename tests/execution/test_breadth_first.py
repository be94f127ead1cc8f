"""Breadth-first completion: equal results, one call per level, no object per row."""
# Batch functions take no self, and their annotation is the type of the field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

import asyncio
import enum
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
import strawberry
from strawberry import Info

from resolvers.rows import Grouped, Selection
from schema.execution import BreadthFirstExecutor, batched, column, embedded
from tests.execution.compare_executors import ExecutorComparison, Journal, fetch_rows

TEAMS = {(): [(1, "red", 2_000_000, 3), (2, "blue", 500_000, 0), (3, "grey", None, 7)]}
PLAYERS = {1: [("ann", 1), ("bob", 1)], 3: [("cy", 3)]}
CAPTAINS = {1: [("ann", 1)], 2: [("dee", 2)]}


def megabytes(size_bytes: int) -> float:
    return size_bytes / 1_000_000


@strawberry.enum
class Order(enum.Enum):
    NAME = "name"
    AGE = "age"


@strawberry.input
class Filter:
    contains: str
    ages: list[int] | None = None


@strawberry.type
class Player:
    name: str = column()

    @batched(key="team_id")
    async def team(info: Info, keys: Sequence[int], selection: Selection) -> "Team | None":
        return fetch_rows(info, keys, selection, "id name", {1: [(1, "red")], 3: [(3, "grey")]})


@strawberry.type
class Record:
    wins: int = column()
    wins_again: int = column("wins", convert=lambda wins: wins + 1)

    @batched(key=("id", "wins"))
    def medals(info: Info, keys: Sequence[Any], selection: Selection) -> list[Player]:
        return fetch_rows(info, keys, selection, "name", {(1, 3): [("gold",)], (3, 7): [("tin",)]})


@strawberry.type
class Team:
    id: strawberry.ID = column()
    name: str = column(description="Its colour.")
    size_in_mb: float | None = column("size_bytes", convert=megabytes)
    record: Record = embedded(description="Wins and losses.")

    @batched(key="id", description="Its players.", deprecation_reason="Ask the team.")
    async def players(
        info: Info,
        keys: Sequence[int],
        selection: Selection,
        first: Annotated[int | None, strawberry.argument(description="The page size.")] = None,
        order_by: Order = Order.NAME,
        filter: Filter | None = None,
    ) -> list[Player]:
        rows = {key: group[:first] for key, group in PLAYERS.items()}
        return fetch_rows(
            info, keys, selection, "name team_id", rows, order=order_by, filter=filter
        )

    @batched(key="id", name="theCaptain", graphql_type=Player | None)
    async def captain(info: Info, keys: Sequence[int], selection: Selection) -> Any:
        return fetch_rows(info, keys, selection, "name team_id", CAPTAINS)


@strawberry.type
class Query:
    @batched(key=())
    async def teams(info: Info, keys: Sequence[Any], selection: Selection) -> list[Team]:
        return fetch_rows(info, keys, selection, "id name size_bytes wins", TEAMS)

    @batched(key=())
    async def team(
        info: Info, keys: Sequence[Any], selection: Selection, name: str
    ) -> Team | None:
        found = {(): [row for row in TEAMS[()] if row[1] == name]}
        return fetch_rows(info, keys, selection, "id name size_bytes wins", found, name=name)

    @batched(key=())
    def none(info: Info, keys: Sequence[Any], selection: Selection) -> list[Team]:
        return fetch_rows(info, keys, selection, "", {})


LEAGUE = ExecutorComparison(Query)


async def test_rows_become_objects_in_the_order_of_the_selection() -> None:
    outcome = await LEAGUE.run("{ teams { sizeInMb __typename id record { wins } name } }")

    assert [list(team) for team in outcome.data["teams"]] == [
        ["sizeInMb", "__typename", "id", "record", "name"]
    ] * 3
    assert outcome.data["teams"][0] == {
        "sizeInMb": 2.0,
        "__typename": "Team",
        "id": "1",
        "record": {"wins": 3},
        "name": "red",
    }
    assert outcome.data["teams"][2]["sizeInMb"] is None
    assert outcome.objects == []


async def test_each_level_is_one_call_for_all_parents() -> None:
    outcome = await LEAGUE.run(
        """
        { teams {
            players { name team { name } } theCaptain { name } record { medals { name } } } }
        """
    )

    assert outcome.data["teams"] == [
        {
            "players": [
                {"name": "ann", "team": {"name": "red"}},
                {"name": "bob", "team": {"name": "red"}},
            ],
            "theCaptain": {"name": "ann"},
            "record": {"medals": [{"name": "gold"}]},
        },
        {"players": [], "theCaptain": {"name": "dee"}, "record": {"medals": []}},
        {
            "players": [{"name": "cy", "team": {"name": "grey"}}],
            "theCaptain": None,
            "record": {"medals": [{"name": "tin"}]},
        },
    ]
    assert [(call.name, call.keys) for call in outcome.calls] == [
        ("teams", [()]),
        ("players", [1, 2, 3]),
        ("theCaptain", [1, 2, 3]),
        ("medals", [(1, 3), (2, 0), (3, 7)]),
        ("team", [1, 1, 3]),
    ]
    assert outcome.objects == []


async def test_the_standard_executor_calls_each_level_once_too() -> None:
    journal = Journal()
    await LEAGUE.standard.execute(
        "{ teams { players { team { players { name } } } } }", context_value=journal
    )

    assert [(call.name, sorted(call.keys)) for call in journal.calls] == [
        ("teams", [()]),
        ("players", [1, 2, 3]),
        ("team", [1, 1, 3]),
        ("players", [1, 1, 3]),
    ]


@pytest.mark.parametrize(
    ("selected", "columns"),
    [
        ("__typename", set()),
        ("id", {"id"}),
        ("sizeInMb size: sizeInMb", {"size_bytes"}),
        ("record { __typename winsAgain }", {"wins"}),
        ("players { __typename }", {"id"}),
        ("record { medals { name } }", {"id", "wins"}),
        ("...Name ... on Team { id }", {"id", "name"}),
        ("name @skip(if: $yes) id @include(if: $no) sizeInMb @include(if: $yes)", {"size_bytes"}),
        ("... @skip(if: $yes) { name } ...Name @include(if: $no) id", {"id"}),
        ("record { wins @skip(if: $yes) medals @include(if: $no) { name } }", set()),
    ],
)
async def test_a_batch_function_receives_the_needed_columns(
    selected: str, columns: set[str]
) -> None:
    declared = "($yes: Boolean!, $no: Boolean!)" if "$" in selected else ""
    fragment = "fragment Name on Team { name }" if "...Name" in selected else ""
    variables = {"yes": True, "no": False} if declared else {}

    outcome = await LEAGUE.run(
        f"query {declared} {{ teams {{ {selected} }} }} {fragment}", **variables
    )

    assert outcome.calls[0].selection == columns
    assert outcome.objects == []


async def test_fields_with_one_response_key_share_a_call_and_a_selection() -> None:
    outcome = await LEAGUE.run(
        """
        { teams { theCaptain { name } ...Captain }
          teams { id ... on Team { theCaptain { n: name } } } }
        fragment Captain on Team { theCaptain { team { name } } }
        """
    )

    assert [(call.name, sorted(call.selection)) for call in outcome.calls] == [
        ("teams", ["id"]),
        ("theCaptain", ["name", "team_id"]),
        ("team", ["name"]),
    ]
    assert list(outcome.data["teams"][0]["theCaptain"]) == ["name", "team", "n"]


async def test_aliases_with_different_arguments_are_separate_calls() -> None:
    outcome = await LEAGUE.run(
        """
        query ($one: Int, $order: Order!) {
          red: team(name: "red") { all: players { name } one: players(first: $one) { name } }
          blue: team(name: "blue") { id players(orderBy: $order) { name } }
        }
        """,
        one=1,
        order="AGE",
    )

    assert outcome.data["red"] == {
        "all": [{"name": "ann"}, {"name": "bob"}],
        "one": [{"name": "ann"}],
    }
    assert sorted((call.name, str(call.arguments.get("name"))) for call in outcome.calls) == [
        ("players", "None"),
        ("players", "None"),
        ("players", "None"),
        ("team", "blue"),
        ("team", "red"),
    ]


async def test_arguments_arrive_as_python_values() -> None:
    outcome = await LEAGUE.run(
        '{ teams { players(orderBy: AGE, filter: {contains: "a", ages: [1]}) { name } } }'
    )

    assert outcome.calls[1].arguments == {
        "order": Order.AGE,
        "filter": Filter(contains="a", ages=[1]),
    }


async def test_a_level_without_parents_is_not_called() -> None:
    outcome = await LEAGUE.run('{ none { players { name } } team(name: "pink") { id } }')

    assert outcome.data == {"none": [], "team": None}
    assert [call.name for call in outcome.calls] == ["none", "team"]


async def test_an_empty_selection_gives_empty_objects() -> None:
    outcome = await LEAGUE.run(
        "query ($no: Boolean!) { teams { id @include(if: $no) } }", no=False
    )

    assert outcome.data == {"teams": [{}, {}, {}]}


async def test_rows_beyond_one_turn_are_completed() -> None:
    @strawberry.type
    class Number:
        value: int = column()
        text: str = column("value")

        @batched(key="value")
        async def next(info: Info, keys: Sequence[int], selection: Selection) -> "list[Successor]":
            return fetch_rows(info, keys, selection, "value", {key: [(key + 1,)] for key in keys})

    @strawberry.type
    class Numbers:
        @batched(key=())
        async def numbers(info: Info, keys: Sequence[Any], selection: Selection) -> list[Number]:
            return fetch_rows(info, keys, selection, "value", {(): [(n,) for n in range(6_000)]})

    outcome = await ExecutorComparison(Numbers).run("{ numbers { value text next { value } } }")

    assert outcome.data["numbers"][5_999] == {
        "value": 5_999,
        "text": "5999",
        "next": [{"value": 6_000}],
    }


@strawberry.type
class Successor:
    value: int = column()


async def test_batch_functions_of_siblings_run_concurrently() -> None:
    started: list[str] = []
    all_started = asyncio.Event()

    async def meet(name: str) -> Grouped:
        started.append(name)
        if len(started) == 3:
            all_started.set()
        await asyncio.wait_for(all_started.wait(), 5)
        return Grouped({"value": 0}, [[(1,)]])

    @strawberry.type
    class Pair:
        @batched(key="value", graphql_type=list[Successor])
        async def left(info: Info, keys: Sequence[int], selection: Selection) -> Grouped:
            return await meet("left")

        @batched(key="value", graphql_type=list[Successor])
        async def right(info: Info, keys: Sequence[int], selection: Selection) -> Grouped:
            return await meet("right")

    @strawberry.type
    class Pairs:
        @batched(key=(), graphql_type=Pair)
        def pair(info: Info, keys: Sequence[Any], selection: Selection) -> Grouped:
            return Grouped({"value": 0}, [[(1,)]])

    schema = strawberry.Schema(Pairs, execution_context_class=BreadthFirstExecutor)
    result = await schema.execute("{ pair { left { value } right { value } l: left { value } } }")

    assert result.errors is None
    assert result.data == {
        "pair": {"left": [{"value": 1}], "right": [{"value": 1}], "l": [{"value": 1}]}
    }


async def test_descriptions_defaults_and_deprecations_reach_the_schema() -> None:
    assert LEAGUE.ours.as_str() == LEAGUE.standard.as_str()
    assert '"""Its players."""' in LEAGUE.ours.as_str()
    assert (
        '"""The page size."""\n    first: Int = null\n    orderBy: Order! = NAME\n'
        "    filter: Filter = null\n  ): [Player!]! @deprecated"
    ) in LEAGUE.ours.as_str()
