"""Execute batched fields: fetch the rows of a level once, then complete them as a batch."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple, TypeAlias, cast

from graphql import (
    GraphQLOutputType,
    GraphQLResolveInfo,
    get_nullable_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.dataloader import DataLoader
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.execution.fields import BatchedField, RowObject, row_class
from schema.execution.planning import (
    Child,
    FallbackNeeded,
    Nodes,
    Objects,
    Shape,
    ShapePlanner,
    assign,
    definition_of,
    find_group_rows,
    object_types,
    row_type,
)
from schema.execution.rows import Columns, GroupedRows, GroupHeads, LevelRows, Row

logger = logging.getLogger(__name__)

VALUES_PER_TURN = 8_192
"""How many values are completed before other tasks get a turn: a few milliseconds."""


class CompletedValue(NamedTuple):
    """A list or object that is ready for the response."""

    value: Any


class KeyRows(NamedTuple):
    """The rows that a batch function returned for one key."""

    columns: Columns
    rows: Sequence[Row]
    group: Mapping[str, Any]


KeyResult: TypeAlias = KeyRows | Exception


class LevelParents(NamedTuple):
    """All parents of a level, passed as the source when a batched field is resolved for them."""

    batch: "LevelBatch"
    keys: Sequence[Any]


def resolve_batched(
    declared: BatchedField, source: Any, info: Any, arguments: dict[str, Any]
) -> Awaitable[Any]:
    """Resolve a batched field for one parent, or for all parents of the level above."""
    level = Levels.of(info).level(declared, info, arguments)
    if isinstance(source, LevelParents):
        return source.batch.complete(level, source.keys)
    return level.loader.load(declared.read_key(source, level.key_columns))


class Level:
    """A batched field at one place in the response, for all its parents there."""

    def __init__(
        self, levels: "Levels", declared: BatchedField, info: Any, arguments: dict[str, Any]
    ) -> None:
        self.levels, self.field, self.info, self.arguments = levels, declared, info, arguments
        type_ = info._raw_info.return_type
        nodes = [FieldDetails(node, None) for node in info._raw_info.field_nodes]
        types = object_types(levels.executor.schema, type_)
        self.shape = levels.planner.shape_of(types[0], nodes)
        self.selection = levels.planner.selection_of(type_, nodes)
        self.key_columns = levels.planner.key_columns(declared, type_, nodes)
        group_rows = find_group_rows(types[0])
        self.group_class = row_class(definition_of(types[0]).origin) if group_rows else None
        row_types = [row_type(group_rows)] if group_rows else types
        self.classes = {each.name: row_class(definition_of(each).origin) for each in row_types}
        self.many, self.required = is_list_type(get_nullable_type(type_)), is_non_null_type(type_)
        self.breadth_first = levels.planner.is_breadth_first(declared, type_, nodes)
        self.loader = DataLoader(self.load, cache=False)

    @property
    def path(self) -> Path:
        """The path of the field, for one of its parents."""
        return cast("Path", self.info._raw_info.path)

    async def load(self, keys: Sequence[Any]) -> list[Any]:
        """Return the results for the parents that reached the level in one turn of the loop."""
        self.loader.batch = None  # It would hold the results until the executor is collected.
        levels = self.levels
        if levels.optimistic:
            levels.open_batch = levels.open_batch or LevelBatch(levels)
            values = await levels.open_batch.join(self, keys)
            if levels.optimistic:
                return values
        results = {key: levels.results[self, key] for key in keys if (self, key) in levels.results}
        missing = [key for key in keys if key not in results]
        if missing:
            results |= zip(missing, split(await self.fetch(missing)), strict=True)
        return [self.to_objects(results[key]) for key in keys]

    async def fetch(self, keys: Sequence[Any]) -> GroupedRows:
        """Call the batch function and check the shape of its result."""
        function = cast("Callable[..., Any]", self.field.base_resolver)
        grouped = function(self.info, keys, self.selection, **self.arguments)
        if inspect.isawaitable(grouped):
            grouped = await grouped
        name, groups = self.field.python_name, grouped.groups
        if len(groups) != len(keys):
            raise ValueError(f"{name} returned {len(groups)} groups for {len(keys)} keys.")
        is_single = not self.many and self.group_class is None
        if is_single and any(len(group) > 1 for group in groups):
            raise ValueError(f"{name} is no list, but a group has more than one row.")
        return cast("GroupedRows", grouped)

    def to_objects(self, result: KeyResult) -> Any:
        """Return one parent's rows as objects; return an error as it is."""
        if isinstance(result, Exception):
            return result
        columns, rows, group = result
        objects = [self.class_of(columns, row)(columns, row, group) for row in rows]
        if self.group_class is not None:
            return self.group_class({}, (objects,), group)
        return objects if self.many else next(iter(objects), None)

    def class_of(self, columns: Columns, row: Row) -> type[RowObject]:
        """Return the class of a row's object; plain `RowObject` if the row names no known type."""
        if len(self.classes) == 1:
            return next(iter(self.classes.values()))
        return self.classes.get(row[columns["__typename"]], RowObject)


def split(result: GroupedRows | Exception) -> Iterable[KeyResult]:
    """Split the result of a batch function by key."""
    if isinstance(result, Exception):
        return repeat(result)
    shared = result.group_columns
    return [
        KeyRows(result.columns, rows, {name: values[at] for name, values in shared.items()})
        for at, rows in enumerate(result.groups)
    ]


class LevelBatch:
    """The levels that begin in one turn of the event loop, completed concurrently.

    They succeed or fall back together. If one of them needs standard execution, all are completed
    that way, so errors are found in the standard order.
    """

    def __init__(self, levels: "Levels") -> None:
        self.levels = levels
        self.members: list[tuple[Level, Sequence[Any], asyncio.Future[list[Any]]]] = []
        self.fetched: list[tuple[Level, Sequence[Any], GroupedRows | Exception]] = []
        self.task = asyncio.create_task(self.run())

    def join(self, level: Level, keys: Sequence[Any]) -> asyncio.Future[list[Any]]:
        """Add a level; its values are valid only if execution is still `optimistic` then."""
        values: asyncio.Future[list[Any]] = self.task.get_loop().create_future()
        values.add_done_callback(self.cancel_if_unused)
        self.members.append((level, keys, values))
        return values

    def cancel_if_unused(self, _: object) -> None:
        """Cancel the batch once every waiter is cancelled."""
        if all(values.cancelled() for _, _, values in self.members):
            self.task.cancel()
            self.close()

    def close(self) -> None:
        """Accept no more levels."""
        if self.levels.open_batch is self:
            self.levels.open_batch = None

    async def run(self) -> None:
        """Complete all levels, then resume the waiters in the order in which they joined."""
        self.close()
        attempts = (self.attempt(level, keys) for level, keys, _ in self.members)
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        for failure in outcomes:
            if isinstance(failure, BaseException):
                logger.debug("Falling back to standard execution.", exc_info=failure)
                self.levels.optimistic = False
        if not self.levels.optimistic:
            for level, keys, result in self.fetched:
                each = zip(((level, key) for key in keys), split(result), strict=False)
                self.levels.results.update(each)
        for (_, _, values), outcome in zip(self.members, outcomes, strict=True):
            if not values.cancelled():
                values.set_result([] if isinstance(outcome, BaseException) else outcome)

    async def attempt(self, level: Level, keys: Sequence[Any]) -> list[Any]:
        """Return values that standard execution can continue with."""
        if not level.breadth_first:
            return [level.to_objects(each) for each in split(await self.fetch(level, keys))]
        values = await self.complete(level, keys)
        return [None if value is None else CompletedValue(value) for value in values]

    async def complete(self, level: Level, keys: Sequence[Any]) -> list[Any]:
        """Fetch and complete the rows of all keys, breadth first."""
        if not keys:
            return []
        grouped = await self.fetch(level, keys)
        if level.group_class is not None:
            return await self.complete_groups(level, grouped)
        completed = iter(await self.complete_rows(level.shape, grouped, level.path))
        if level.many:
            return [list(islice(completed, len(group))) for group in grouped.groups]
        if level.required and not all(grouped.groups):
            raise FallbackNeeded("null in a required field")
        return [next(completed) if group else None for group in grouped.groups]

    async def complete_groups(self, level: Level, grouped: GroupedRows) -> Objects:
        """Complete one object per group, and in it the group's rows."""
        shape = level.shape
        objects = await self.complete_rows(shape, GroupHeads.of(grouped), level.path)
        for key, inner in shape.group_rows.items():
            path = level.path.add_key(key, shape.type_.name)
            completed = iter(await self.complete_rows(inner, grouped, path))
            assign(objects, key, [list(islice(completed, len(rows))) for rows in grouped.groups])
        return objects

    async def fetch(self, level: Level, keys: Sequence[Any]) -> GroupedRows:
        """Call the batch function, and keep its result in case of a fallback."""
        try:
            grouped = await level.fetch(keys)
        except Exception as error:
            self.fetched.append((level, keys, error))
            raise
        self.fetched.append((level, keys, grouped))
        return grouped

    async def complete_rows(self, shape: Shape, grouped: GroupedRows, path: Path) -> Objects:
        """Complete the rows of all groups and then, concurrently, the levels below them."""
        parents = LevelRows.flatten(grouped)
        rows, columns = parents.rows, grouped.columns
        shared = parents.shared_columns(shape.selection)
        objects: Objects = []
        step = VALUES_PER_TURN // (len(shape.template) or 1) or 1
        for start in range(0, len(rows), step):
            if start:
                await asyncio.sleep(0)
            turn = slice(start, start + step)
            objects += shape.complete(
                rows[turn], columns, {name: values[turn] for name, values in shared.items()}
            )
        if rows:
            await gather_all(self.complete_children(shape, objects, parents, path))
        return objects

    def complete_children(
        self, shape: Shape, objects: Objects, parents: LevelRows, path: Path
    ) -> Iterator[Awaitable[None]]:
        """Complete the batched fields of these objects and of their embedded objects."""
        for key in shape.template:
            child_path = path.add_key(key, shape.type_.name)
            if key in shape.children:
                yield self.complete_child(shape.children[key], objects, parents, child_path)
            elif key in shape.embedded:
                inner = [each[key] for each in objects]
                inner_shape = shape.embedded[key].shape
                yield from self.complete_children(inner_shape, inner, parents, child_path)

    async def complete_child(
        self, child: Child, objects: Objects, parents: LevelRows, path: Path
    ) -> None:
        """Complete a batched field, through the resolver that Strawberry built for it."""
        executor, definition = self.levels.executor, child.definition
        nodes = [each.node for each in child.nodes]
        parent_type = executor.schema.type_map[cast("str", path.typename)]
        info = executor.build_resolve_info(definition, nodes, cast("Any", parent_type), path)
        arguments = get_argument_values(
            definition,
            nodes[0],
            executor.variable_values,
            hide_suggestions=executor.hide_suggestions,
        )
        resolve = cast("Callable[..., Awaitable[list[Any]]]", definition.resolve)
        source = LevelParents(self, child.field.read_keys(parents, child.key_columns))
        assign(objects, str(path.key), await resolve(source, info, **arguments))


async def gather_all(awaitables: Iterable[Awaitable[Any]]) -> None:
    """Await all, then raise the first error; none may still run when a fallback begins."""
    for outcome in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Levels:
    """The levels of a running operation.

    They are an attribute of the executor, which lives exactly as long as the operation. A
    resolver reaches it through `info`, whatever the context is.
    """

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.planner = ShapePlanner(executor)
        self.by_place: dict[tuple[Any, ...], list[Level]] = {}
        self.optimistic = isinstance(executor, BreadthFirstExecutor) and executor.is_plain()
        self.results: dict[tuple[Level, Any], KeyResult] = {}
        self.open_batch: LevelBatch | None = None

    @staticmethod
    def of(info: Any) -> "Levels":
        """Return the levels of the operation that a resolver runs in."""
        executor = info._raw_info.async_helpers.gather.__self__
        if "levels" not in vars(executor):
            executor.levels = Levels(executor)
        return cast("Levels", executor.levels)

    def level(self, declared: BatchedField, info: Any, arguments: dict[str, Any]) -> Level:
        """Return the level of a field: one for all parents with the same arguments."""
        candidates = self.by_place.setdefault(place_of(info._raw_info.path), [])
        for level in candidates:
            if level.arguments == arguments:
                level.info = info
                return level
        candidates.append(Level(self, declared, info, arguments))
        return candidates[-1]


def place_of(path: Path | None) -> tuple[Any, ...]:
    """Return the place of a field in the response, without list indices."""
    keys = []
    while path is not None:
        if path.typename is not None:
            keys.append((path.typename, path.key))
        path = path.prev
    return tuple(keys)


class BreadthFirstExecutor(StrawberryGraphQLCoreExecutionContext):
    """Completes the levels of batched fields breadth first; all else is standard execution."""

    def is_plain(self) -> bool:
        """Return whether no middleware wraps the resolvers and nothing is delivered later."""
        nodes: list[Any] = [self.operation, *self.fragment_definitions.values()]
        for node in nodes:
            if any(each.name.value in ("defer", "stream") for each in node.directives or ()):
                return False
            if getattr(node, "selection_set", None):
                nodes += node.selection_set.selections
        return self.middleware_manager is None or not self.middleware_manager.middlewares

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: Nodes,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Complete a value; a value that a level completed passes through."""
        if type(result) is CompletedValue:
            return result.value
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        """Give every event of a subscription its own levels."""
        executor = super().build_per_event_executor(payload)
        executor.async_helpers = GraphQLResolveInfoHelpers(
            gather=executor.gather_async_work, track=executor.track_async_work
        )
        vars(executor).pop("levels", None)
        return executor
