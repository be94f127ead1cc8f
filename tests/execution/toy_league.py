"""A toy league for random tests; a `World` decides how faulty its rows are."""
# Batch functions take no self, and their annotation is the type of the field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

import enum
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NewType, TypeVar

import strawberry
from graphql.pyutils import Undefined
from strawberry import Info
from strawberry.schema.config import StrawberryConfig

from resolvers.rows import Grouped, Row, Selection
from schema.execution import BreadthFirstExecutor, batched, column, embedded, group_rows
from tests.execution.compare_executors import QuietSchema

Tiny = NewType("Tiny", int)


def write_tiny(value: Any) -> Any:
    if value == 13:
        raise ValueError("13 is not tiny")
    return value or None


def shout(word: Any) -> Any:
    if word == "quiet":
        raise ValueError("too quiet")
    return word.upper() or None


class Later:
    """A value that must be awaited."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "later"


@strawberry.enum
class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "team_id": ([0, 1, 2, "x"], [None, 1.5]),
    "name": (["a", "b", True, 7], [None, ValueError("in a row"), Undefined]),
    "size": ([1, 2, 3.0, None], [2**40, "many", float("nan"), Undefined]),
    "ratio": ([1, 0.5, "2"], [None, float("inf"), "half"]),
    "active": ([True, False, 1], [None, "yes"]),
    "level": (["low", Level.HIGH], [None, "medium", []]),
    "tiny": ([1, 2, None], [0, 13]),
    "word": (["loud", None], ["quiet", "", 5]),
    "wins": ([1, 2], [None, "none"]),
    "losses": ([0, None], [2**31, "all"]),
    "home.score": ([3, 4], [None, "many"]),
    "away.score": ([0, 5], [None, ValueError("in a row")]),
    "age": ([20, 30], [None, "old", Later()]),
    "__typename": (["Cup", "Medal"], [None, "Team"]),
}
"""The valid and the invalid values of every column."""


@dataclass
class World:
    """Generates the rows of batch functions; equal keys and arguments give equal rows."""

    seed: int = 0
    poison: float = 0
    failing: frozenset[str] = frozenset()
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def fetch_rows(
        self, info: Info, keys: Sequence[Any], selection: Selection, most: int, arguments: str = ""
    ) -> Any:
        place = tuple(key for key in info.path.as_list() if isinstance(key, str))
        self.calls.append((place, tuple(keys), selection, arguments))
        if info.field_name in self.failing:
            raise RuntimeError(f"{info.field_name} is out of order")
        groups = [self.rows(info.field_name, (key, arguments), most) for key in keys]
        names = sorted(name for name in selection if name in VALUES)
        positions = [list(VALUES).index(name) for name in names]
        heads = [self.rows("group", (key, arguments), 1) for key in keys]
        return Grouped(
            {name: at for at, name in enumerate(names)},
            [[tuple(row[at] for at in positions) for row in group] for group in groups],
            {
                f"group_{name}": [head[0][at] if head else 1 for head in heads]
                for at, name in enumerate(VALUES)
            },
        )

    def rows(self, name: str, about: Any, most: int) -> list[Row]:
        chance = random.Random(f"{self.seed} {name} {about}")  # noqa: S311  no secret
        return [
            tuple(
                chance.choice(bad if chance.random() < self.poison else good)
                for good, bad in VALUES.values()
            )
            for _ in range(chance.choice([0, 1, most, most]))
        ]


Item = TypeVar("Item")


def get_world(info: Info) -> World:
    world: World = info.context
    return world


@strawberry.type
class Player:
    name: str = column()
    age: int = column()
    word: str | None = column(convert=shout)

    @batched(key=("team_id", "name"))
    async def team(info: Info, keys: Sequence[Any], selection: Selection) -> "Team | None":
        return get_world(info).fetch_rows(info, keys, selection, most=1)

    @batched(key="team_id")
    def rivals(
        info: Info, keys: Sequence[Any], selection: Selection, level: Level = Level.LOW
    ) -> "list[Player | None] | None":
        return get_world(info).fetch_rows(info, keys, selection, most=2, arguments=level.name)


@strawberry.type
class Stats:
    wins: int = column()
    losses: int | None = column()

    @batched(key="wins")
    async def trophies(
        info: Info, keys: Sequence[Any], selection: Selection
    ) -> "list[Cup | Medal]":
        return get_world(info).fetch_rows(info, keys, selection, most=2)

    @batched(key="team_id")
    async def best(info: Info, keys: Sequence[Any], selection: Selection) -> Player:
        return get_world(info).fetch_rows(info, keys, selection, most=1)


@strawberry.interface
class Trophy:
    name: str = column()


@strawberry.type
class Cup(Trophy):
    size: int | None = column()


@strawberry.type
class Medal(Trophy):
    ratio: float = column()

    @batched(key="name")
    async def winners(info: Info, keys: Sequence[Any], selection: Selection) -> list[Player]:
        return get_world(info).fetch_rows(info, keys, selection, most=1)


@strawberry.type
class PageFacts:
    ratio: float | None = column("group_ratio")


@strawberry.type
class Page(Generic[Item]):
    """A page of a group: columns that its rows share, and the rows."""

    wins: int = column("group_wins")
    facts: PageFacts = embedded()
    items: list[Item] = group_rows()

    @batched(key="group_team_id")
    async def best(info: Info, keys: Sequence[Any], selection: Selection) -> Player | None:
        return get_world(info).fetch_rows(info, keys, selection, most=1)


@strawberry.type
class Score:
    score: int = column()


def figures_in(selection: Selection) -> tuple[str, ...]:
    return tuple(sorted(selection & {"size", "ratio", "wins"}))


@strawberry.type
class Team:
    id: strawberry.ID = column("team_id")
    name: str = column()
    size: int | None = column()
    ratio: float = column()
    active: bool = column()
    level: Level = column()
    tiny: Tiny | None = column()
    stats: Stats = embedded()
    home: Score = embedded(prefix="home.")
    away: Score = embedded(prefix="away.")

    @batched(key=("team_id",), reads=figures_in)
    async def earlier(info: Info, keys: Sequence[Any], selection: Selection) -> "Team | None":
        assert all(len(key) == 1 + len(figures_in(selection)) for key in keys)
        return get_world(info).fetch_rows(info, keys, selection, most=1)

    @batched(key="team_id")
    async def players(
        info: Info, keys: Sequence[Any], selection: Selection, first: int | None = None
    ) -> list[Player]:
        return get_world(info).fetch_rows(info, keys, selection, most=3, arguments=str(first))

    @batched(key="team_id", graphql_type=Page[Player])
    async def players_page(
        info: Info, keys: Sequence[Any], selection: Selection, first: int | None = None
    ) -> Any:
        return get_world(info).fetch_rows(info, keys, selection, most=3, arguments=str(first))

    @batched(key=("team_id",))
    async def coach(info: Info, keys: Sequence[Any], selection: Selection) -> Player | None:
        return get_world(info).fetch_rows(info, keys, selection, most=1)

    @batched(key="name")
    async def first_trophy(info: Info, keys: Sequence[Any], selection: Selection) -> Trophy | None:
        return get_world(info).fetch_rows(info, keys, selection, most=1)

    @strawberry.field
    def label(self) -> str:
        return f"{self.name}: {self.level}"


@strawberry.type
class Query:
    @batched(key=())
    async def teams(info: Info, keys: Sequence[Any], selection: Selection) -> list[Team]:
        return get_world(info).fetch_rows(info, keys, selection, most=4)

    @batched(key=(), graphql_type=Page[Team] | None)
    async def page(info: Info, keys: Sequence[Any], selection: Selection) -> Any:
        return get_world(info).fetch_rows(info, keys, selection, most=3)

    @batched(key=())
    async def team(
        info: Info,
        keys: Sequence[Any],
        selection: Selection,
        id: strawberry.ID,
    ) -> Team | None:
        return get_world(info).fetch_rows(info, keys, selection, most=1, arguments=id)

    @batched(key=())
    async def squad(
        info: Info, keys: Sequence[Any], selection: Selection
    ) -> list[Player | None] | None:
        return get_world(info).fetch_rows(info, keys, selection, most=3)

    @strawberry.field
    def season(self) -> str:
        return "spring"


CONFIG = StrawberryConfig(scalar_map={Tiny: strawberry.scalar(name="Tiny", serialize=write_tiny)})
STANDARD = QuietSchema(query=Query, config=CONFIG, types=[Cup, Medal])
BREADTH_FIRST = QuietSchema(
    query=Query, config=CONFIG, types=[Cup, Medal], execution_context_class=BreadthFirstExecutor
)
