"""Execute a query with both executors on the same rows in memory, without a database."""
# Batch functions take no self and declare the type of their field.
# ruff: noqa: N805
# mypy: disable-error-code="no-any-return"

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import strawberry
from strawberry import Info

from app.domain.sizes import to_megabytes
from bench.measure import Timing
from bench.store import say
from resolvers.rows import Grouped, Selection
from schema.execution import BreadthFirstExecutor, batched, column

_WORKSPACES, _MEMBERS, _PROJECTS, _USERS = 1_000, 60_000, 10_000, 20_000
_START = datetime(2026, 10, 1, tzinfo=UTC)


@strawberry.type
class Item:
    """A member or a project."""

    name: str = column()
    email: str = column()
    number_of_experiments: int = column("experiments")
    total_size_in_mb: float = column("size_bytes", convert=to_megabytes)


@strawberry.type
class User:
    username: str = column()
    email: str = column()
    created_at: datetime = column()
    usage_count: int = column()
    used_at: datetime | None = column()
    suspended: bool = column()


@strawberry.type
class Workspace:
    name: str = column()
    number_of_members: int = column()
    total_size_in_mb: float = column("size_bytes", convert=to_megabytes)

    @batched(key="workspace_id")
    async def members(info: Info, keys: Sequence[int], _selection: Selection) -> list[Item]:
        return _select_groups(info.context.members, keys)

    @batched(key="workspace_id")
    async def projects(info: Info, keys: Sequence[int], _selection: Selection) -> list[Item]:
        return _select_groups(info.context.projects, keys)


@strawberry.type
class Query:
    @batched(key=())
    async def workspaces(
        info: Info, _keys: Sequence[tuple[()]], _selection: Selection
    ) -> list[Workspace]:
        return info.context.workspaces

    @batched(key=())
    async def users(info: Info, _keys: Sequence[tuple[()]], _selection: Selection) -> list[User]:
        return info.context.users


_QUERY = """{
    workspaces {
        name numberOfMembers totalSizeInMb
        members { name email numberOfExperiments totalSizeInMb }
        projects { name numberOfExperiments totalSizeInMb }
    }
    users { username email createdAt usageCount usedAt suspended }
}"""


def _select_groups(rows: Grouped, keys: Sequence[int]) -> Any:
    return Grouped(rows.columns, [rows.groups[key] for key in keys])


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an organization of the benchmark's size, as batch resolvers return them."""

    workspaces: Grouped
    members: Grouped
    projects: Grouped
    users: Grouped

    @classmethod
    def create(cls, scale: int) -> "Rows":
        """Return rows as a driver would, with a new object for each value."""
        workspaces = range(_WORKSPACES * scale)
        return cls(
            _to_grouped(
                ("workspace_id", "name", "number_of_members", "size_bytes"),
                [[(number, f"workspace {number}", 60, number << 22) for number in workspaces]],
            ),
            _create_items("member", _MEMBERS // _WORKSPACES, workspaces),
            _create_items("project", _PROJECTS // _WORKSPACES, workspaces),
            _to_grouped(
                ("username", "email", "created_at", "usage_count", "used_at", "suspended"),
                [[_create_user(number) for number in range(_USERS * scale)]],
            ),
        )


def _create_items(kind: str, count: int, workspaces: range) -> Grouped:
    groups = [
        [
            (f"{kind} {number}", f"{kind}-{number}@example.com", number, (number + parent) << 20)
            for number in range(count)
        ]
        for parent in workspaces
    ]
    return _to_grouped(("name", "email", "experiments", "size_bytes"), groups)


def _create_user(number: int) -> tuple[Any, ...]:
    at = _START + timedelta(seconds=number, microseconds=number)
    return f"user {number}", f"user-{number}@example.com", at, number % 90, at, number % 50 == 0


def _to_grouped(names: Sequence[str], groups: Sequence[Any]) -> Grouped:
    return Grouped({name: index for index, name in enumerate(names)}, groups)


@dataclass(slots=True)
class Execution:
    """An executor's time, and its memory beyond the rows and the response."""

    timing: Timing
    overhead_bytes: int = 0


_SCHEMAS = {
    "breadth first": strawberry.Schema(Query, execution_context_class=BreadthFirstExecutor),
    "standard executor": strawberry.Schema(Query),
}


async def measure_execution(rounds: int, scale: int = 1) -> dict[str, Execution]:
    """Measure the time and memory of both executors on the same rows."""
    say(f"Execution without a database: {rounds} rounds …")
    rows = Rows.create(scale)
    gc.collect()
    measured = {name: Execution(Timing()) for name in _SCHEMAS}
    expected = None
    for name, schema in _SCHEMAS.items():
        data, overhead = await _measure_overhead(schema, rows)
        measured[name].overhead_bytes = overhead
        expected = data if expected is None else expected
        assert data == expected, f"{name} differs"
        del data
    del expected
    for _ in range(rounds):
        for name, schema in _SCHEMAS.items():
            measured[name].timing.seconds.append(await _time_execution(schema, rows))
    return measured


async def _run(schema: strawberry.Schema, rows: Rows) -> dict[str, Any]:
    result = await schema.execute(_QUERY, context_value=rows)
    assert not result.errors, result.errors[0]
    assert result.data is not None
    return result.data


async def _time_execution(schema: strawberry.Schema, rows: Rows) -> float:
    gc.collect()
    await asyncio.sleep(0)
    start = time.perf_counter()
    await _run(schema, rows)
    return time.perf_counter() - start


async def _measure_overhead(schema: strawberry.Schema, rows: Rows) -> tuple[dict[str, Any], int]:
    """Return the response, and the peak of allocated bytes beyond it."""
    await _run(schema, rows)
    gc.collect()
    tracemalloc.start()
    data = await _run(schema, rows)
    _, peak = tracemalloc.get_traced_memory()
    gc.collect()
    retained, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return data, peak - retained
