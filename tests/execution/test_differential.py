"""Random documents on random rows give the same data and errors on both executors."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLNamedType,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_union_type,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.types.execution import ExecutionResult

from tests.execution.compare_executors import comparable
from tests.execution.toy_league import BREADTH_FIRST, STANDARD, World

TYPES = STANDARD._schema.type_map
VARIABLES = {"yes": True, "no": False, "one": 1}
ARGUMENTS = {
    "first": ["", "(first: 1)", "(first: $one)"],
    "level": ["", "(level: HIGH)"],
    "id": ['(id: "1")', '(id: "2")'],
}
DIRECTIVES = ["", "", "", "@skip(if: $yes)", "@skip(if: $no)", "@include(if: $no)"]
STANDARD_EXECUTION_FIELDS = {"label", "season", "trophies", "firstTrophy"}
"""Fields whose levels need standard execution."""

BATCHED = ["players", "coach", "best", "team", "rivals", "winners", "squad", "firstTrophy"]
BATCHED += ["page", "playersPage"]
worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    poison=st.sampled_from([0, 0, 0.01, 0.05]),
    failing=st.frozensets(st.sampled_from(BATCHED), max_size=2),
)


class Documents:
    """Draws random queries and the fragments that they spread."""

    def __init__(self, draw: Callable[[Any], Any], without: set[str]) -> None:
        self.draw, self.without = draw, without
        self.fragments: list[str] = []

    def choose(self, among: list[Any]) -> Any:
        return self.draw(st.sampled_from(among))

    def document(self) -> str:
        body = " ".join([self.selections(TYPES["Query"], 4), *self.fragments])
        types = {"yes": "Boolean!", "no": "Boolean!", "one": "Int"}
        used = ", ".join(f"${name}: {types[name]}" for name in types if f"${name}" in body)
        return f"query {f'({used})' if used else ''} {body}"

    def selections(self, type_: GraphQLNamedType, depth: int) -> str:
        count = self.draw(st.integers(1, 4))
        return "{ " + " ".join(self.selection(type_, depth) for _ in range(count)) + " }"

    def selection(self, type_: GraphQLNamedType, depth: int) -> str:
        kind = self.draw(st.integers(0, 9))
        if kind > 1 or depth == 0:
            return self.field(type_, depth)
        condition = self.choose(conditions(type_))
        selections = self.selections(TYPES[condition], depth - 1)
        directive = self.choose(DIRECTIVES)
        if kind == 0:
            return f"... on {condition} {directive} {selections}"
        name = f"F{len(self.fragments)}"
        self.fragments.append(f"fragment {name} on {condition} {selections}")
        return f"...{name} {directive}"

    def field(self, type_: Any, depth: int) -> str:
        names = [] if is_union_type(type_) else sorted(type_.fields.keys() - self.without)
        if depth == 0:
            names = [name for name in names if is_leaf_type(named_type(type_, name))]
        name: str = self.choose(["__typename", *names])
        if name == "__typename":
            return name
        arguments = [self.choose(ARGUMENTS[each]) for each in type_.fields[name].args]
        # A response key always has one meaning, so that any two selections can be merged.
        alias = "".join(filter(str.isalnum, "".join(arguments))) or self.choose(["", "again"])
        named = named_type(type_, name)
        inner = "" if is_leaf_type(named) else self.selections(named, depth - 1)
        key = f"{name}_{alias}: " if alias else ""
        return f"{key}{name}{''.join(arguments)} {self.choose(DIRECTIVES)} {inner}"


def named_type(type_: Any, name: str) -> Any:
    return get_named_type(type_.fields[name].type)


def conditions(type_: Any) -> list[str]:
    if is_union_type(type_) or is_interface_type(type_):
        return [type_.name, "Cup", "Medal"]
    return [type_.name, *(each.name for each in type_.interfaces)]


@st.composite
def documents(draw: Callable[[Any], Any], without: set[str]) -> str:
    return Documents(draw, without).document()


async def run_on_both(document: str, world: World) -> list[tuple[ExecutionResult, World]]:
    """Run a document on each executor, in equal worlds."""
    results = []
    for schema in (STANDARD, BREADTH_FIRST):
        own = World(world.seed, world.poison, world.failing)
        result = await schema.execute(document, VARIABLES, own)
        assert not any(error.path is None for error in result.errors or ()), result.errors
        places = Counter((place, arguments) for place, _, _, arguments in own.calls)
        assert result.errors or set(places.values()) <= {1}
        results.append((result, own))
    return results


@given(document=documents(without=STANDARD_EXECUTION_FIELDS), world=worlds)
@settings(max_examples=100, deadline=None)
async def test_breadth_first_levels_equal_standard_execution(document: str, world: World) -> None:
    (expected, _), (result, _) = await run_on_both(document, world)

    assert comparable(result) == comparable(expected)


@given(document=documents(without=set()), world=worlds)
@settings(max_examples=100, deadline=None)
async def test_mixed_levels_equal_standard_execution(document: str, world: World) -> None:
    (expected, standard), (result, own) = await run_on_both(document, world)

    assert repr(result.data) == repr(expected.data)
    assert places_of_nulls(result) == places_of_nulls(expected)
    if not expected.errors:
        assert sort_calls(own) == sort_calls(standard)


def places_of_nulls(result: ExecutionResult) -> set[tuple[tuple[str | int, ...], str]]:
    """Return the places of the nulls that errors caused, with the message of direct errors."""
    found = set()
    for error in result.errors or ():
        path, depth = error.path or [], 0
        value: Any = result.data
        while value is not None:
            value, depth = value[path[depth]], depth + 1
        found.add((tuple(path[:depth]), error.message if depth == len(path) else ""))
    return found


def sort_calls(world: World) -> list[Any]:
    return sorted(
        (place, sorted(map(repr, keys)), sorted(selection), arguments)
        for place, keys, selection, arguments in world.calls
    )
