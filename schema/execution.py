"""Breadth-first execution for Strawberry: a list of rows is completed as a batch.

GraphQL's usual executor visits every object and, on it, every field. Here a *batched* field
takes the keys of all its parents at once and returns plain rows, and the rows of a nesting level
are completed field by field. No object per row is built but the response's own dictionary.

    @strawberry.type(description="A team.")
    class Team:
        name: str = column(description="Its unique name.")
        size_in_mb: float = column("size_bytes", convert=megabytes, description="What it stores.")

        @batched(key="team_id", description="Its players, by name.")
        async def players(
            info: Info, team_ids: Sequence[int], selection: Selection, first: int | None = None
        ) -> list[Player]:
            return await players_of_teams(info.context, team_ids, selection, first)

    schema = strawberry.Schema(query=Query, execution_context_class=BreadthFirstExecutor)

**The contract of a batch function.** It is called once per level, as `(info, keys, selection,
**arguments)`, and may be async.

- `keys` has one key per parent, in order, and may repeat a key: the parents' values of the `key`
  columns (a tuple of them if `key` is a tuple). They are hashable, and equal keys have equal rows.
- `selection` names the columns that the query needs of the rows: those of the selected `column`
  fields, of `embedded` objects, and the keys of selected batched fields. An ordinary resolver may
  read any column of its object, so selecting one selects them all.
- The answer is a `Grouped`: `groups[i]` has the rows of `keys[i]`. A field that is no list has no
  row (null) or one in each group. Rows of an interface or a union name their type in the column
  `__typename`.
- `info` is that of any one parent: the list indices in `info.path` mean nothing.

**What stays standard.** Results and errors are those of Strawberry's own executor, on which the
same schema runs too, with the same calls. A level is completed breadth first if all that is
selected in and below it are columns of scalars and enums, embedded objects and batched fields of
object types. Whatever else there is (ordinary resolvers, field extensions and permissions, lists
in columns, interfaces and unions, `is_type_of`) is completed object by object, down to the next
batched field that qualifies. So is the whole operation under `@defer`, `@stream` or a schema
extension that wraps resolvers. Batched fields need an event loop: `execute_sync` cannot run them.

**Errors.** Completing a level breadth first is optimistic. At the first null, value or exception
that does not belong in a response, the rows that were already fetched are completed the standard
way, which reports what is wrong exactly as it always does. One thing only may differ: when levels
of both kinds mix and an error nulls a parent of theirs, whether another error below that parent
is reported beside it, or instead. The standard executor leaves that to the timing of resolvers.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice, repeat
from math import isfinite
from operator import itemgetter
from types import GeneratorType, NoneType
from typing import Any, NamedTuple, TypeAlias, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path, UndefinedType
from graphql.type import GraphQLResolveInfoHelpers
from graphql.type.scalars import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    serialize_boolean,
    serialize_float,
    serialize_id,
    serialize_int,
    serialize_string,
)
from strawberry.annotation import StrawberryAnnotation
from strawberry.dataloader import DataLoader
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.lazy_type import LazyType

from resolvers.rows import Grouped, Row, Selection

__all__ = ["BreadthFirstExecutor", "RowObject", "batched", "column", "embedded"]

logger = logging.getLogger(__name__)

CELLS_AT_ONCE = 8_192
"""So many values of a level are completed in one turn of the event loop: a few milliseconds."""

Columns: TypeAlias = Mapping[str, int]
Objects: TypeAlias = list[dict[str, Any]]
Nodes: TypeAlias = list[FieldDetails]


# Declaring fields


def column(
    name: str | None = None,
    *,
    convert: Callable[[Any], Any] | None = None,
    description: str | None = None,
    deprecation_reason: str | None = None,
) -> Any:
    """Declare a field that is a column of the row.

    Args:
        name: The column's name; by default the attribute's.
        convert: Makes the field's value of a column's value, unless that is null.
        description: The field's description.
        deprecation_reason: Why the field should not be used any more.
    """
    return ColumnField(
        metadata={"column": name, "convert": convert},
        description=description,
        deprecation_reason=deprecation_reason,
    )


def embedded(*, description: str | None = None, deprecation_reason: str | None = None) -> Any:
    """Declare a field that is an object drawn from the same row as its parent; never null."""
    return EmbeddedField(description=description, deprecation_reason=deprecation_reason)


def batched(
    *,
    key: str | tuple[str, ...],
    name: str | None = None,
    graphql_type: Any = None,
    description: str | None = None,
    deprecation_reason: str | None = None,
    permission_classes: list[Any] | None = None,
    extensions: list[Any] | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Make a field of a batch function; the module's docstring has the contract.

    Args:
        key: The columns of the parent's row that tell whose rows are wanted (attributes, of a
            parent that is no row); `()` at the root.
        name: The field's name; by default the function's, in camel case.
        graphql_type: The field's type; by default the function's return annotation.
        description: The field's description.
        deprecation_reason: Why the field should not be used any more.
        permission_classes: GraphQLRequest for each parent, as on any field.
        extensions: Field extensions. They see each parent's own objects, as on any field.
    """
    declared = BatchedField(
        graphql_name=name,
        type_annotation=StrawberryAnnotation.from_annotation(graphql_type),
        metadata={"key": key},
        description=description,
        deprecation_reason=deprecation_reason,
        permission_classes=permission_classes or [],
        extensions=extensions or [],
    )
    return lambda function: declared(BatchResolver(function))


class RowObject:
    """A row as an object, for whatever is completed object by object.

    This is the `self` of ordinary resolvers; its attributes are the fields of its type and the
    columns of the row.
    """

    __slots__ = ("_columns", "_row")
    _row_fields: Mapping[str, StrawberryField] = {}

    def __init__(self, columns: Columns, row: Row) -> None:
        self._columns = columns
        self._row = row

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._row_fields:
            return self._row_fields[name].get_result(self, None, [], {})
        if name in self._columns:
            return self._row[self._columns[name]]
        raise AttributeError(f"'{type(self).__name__}' has no column '{name}'.")


@cache
def row_class(origin: Any) -> type[RowObject]:
    """Make a row an instance of the class that declares its type, with its methods."""
    fields = origin.__strawberry_definition__.fields
    read = [each for each in fields if isinstance(each, ColumnField | EmbeddedField)]
    row_fields = {each.python_name: each for each in read}
    return type(origin.__name__, (RowObject, origin), {"__slots__": (), "_row_fields": row_fields})


def cell(source: RowObject, name: str) -> Any:
    """The value of a column that the batch function was asked for."""
    if name not in source._columns:
        raise LookupError(f"The batch function returned no column '{name}'.")
    return source._row[source._columns[name]]


class ColumnField(StrawberryField):
    """A field that is a column of the row.

    What it needs is in `metadata`, which Strawberry keeps when it copies fields of generic types.
    """

    @property
    def column(self) -> str:
        """The column's name."""
        return self.metadata["column"] or self.python_name

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        """Read the column of one row, the standard way."""
        if not isinstance(source, RowObject):
            return super().get_result(source, info, args, kwargs)
        value, convert = cell(source, self.column), self.metadata["convert"]
        return value if value is None or convert is None else convert(value)


class EmbeddedField(StrawberryField):
    """A field that is an object drawn from its parent's row."""

    @property
    def origin_class(self) -> Any:
        """The class that declares the object's type."""
        return self.type.resolve_type() if isinstance(self.type, LazyType) else self.type

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        """Draw the object from one row, the standard way."""
        if not isinstance(source, RowObject):
            return super().get_result(source, info, args, kwargs)
        return row_class(self.origin_class)(source._columns, source._row)


class BatchedField(StrawberryField):
    """A field whose batch function serves all the parents of a level."""

    is_async = True  # whatever the function is: every parent waits for the others

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that form the key."""
        key: str | tuple[str, ...] = self.metadata["key"]
        return (key,) if isinstance(key, str) else key

    # Strawberry calls it with all of these.
    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        """Join the level, as one parent or, from the level above, as all of them."""
        level = Levels.of(info).level(self, info, kwargs)
        if isinstance(source, Parents):
            return source.turn.complete(level, source.keys)
        return level.loader.load(self.key_of(source))

    def key_of(self, source: Any) -> Any:
        """The key of one parent."""
        read = cell if isinstance(source, RowObject) else getattr
        key = tuple(read(source, name) for name in self.key_columns)
        return key[0] if isinstance(self.metadata["key"], str) else key

    def keys_of(self, rows: Sequence[Row], columns: Columns) -> Sequence[Any]:
        """The keys of many parents."""
        values = [map(itemgetter(columns[name]), rows) for name in self.key_columns]
        if isinstance(self.metadata["key"], str):
            return list(values[0])
        return list(zip(*values, strict=True)) if values else [()] * len(rows)


class Parents(NamedTuple):
    """Takes the place of the source when a batched field is resolved for a whole level."""

    turn: "LevelBatch"
    keys: Sequence[Any]


class Reserved(NamedTuple):
    """Says that the parameter at this position is no argument of the field."""

    position: int

    def find(self, parameters: Sequence[inspect.Parameter], _: object) -> inspect.Parameter:
        """Strawberry's protocol for reserved parameters."""
        return parameters[self.position]


class BatchResolver(StrawberryResolver[Any]):
    """Reads the arguments of a batch function: all that follows info, keys and selection."""

    RESERVED_PARAMSPEC = (Reserved(0), Reserved(1), Reserved(2))


# What a selection takes of rows


class FallbackNeeded(Exception):
    """Something here must be completed the standard way."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A selected column."""

    column: str
    convert: Callable[[Any], Any] | None
    type_: GraphQLLeafType
    required: bool

    def complete(self, values: Sequence[Any]) -> Sequence[Any]:
        """Complete the field for many rows at once."""
        if self.convert is not None:
            convert = self.convert
            values = [None if value is None else convert(value) for value in values]
        kinds = set(map(type, values))
        if NoneType not in kinds:
            return self.coerce(values, kinds)
        if self.required:
            raise FallbackNeeded("null in a required field")
        present = [value for value in values if value is not None]
        coerced = iter(self.coerce(present, kinds - {NoneType}))
        return [None if value is None else next(coerced) for value in values]

    def coerce(self, values: Sequence[Any], kinds: Collection[type]) -> Sequence[Any]:
        """Coerce values as the executor does: by the type's own function, unless `AS_IS`."""
        coerce = self.type_.coerce_output_value
        as_is = AS_IS.get(coerce)
        if as_is is not None and kinds == {as_is.kind} and as_is.holds(values):
            return values
        if not all(map(is_inert, kinds)):
            raise FallbackNeeded("an exception, an awaitable or the like in a column")
        if isinstance(self.type_, GraphQLEnumType) and len(kinds) == 1:
            names = {value: coerce(value) for value in set(values)}
            return [names[value] for value in values]
        coerced = list(map(coerce, values))
        if not {NoneType, UndefinedType}.isdisjoint(map(type, coerced)):
            raise FallbackNeeded("a scalar made null of a value")
        return coerced


class AsIs(NamedTuple):
    """When a built-in scalar returns values as they are: all of a kind, and a condition."""

    kind: type
    holds: Callable[[Sequence[Any]], bool] = bool


AS_IS: Mapping[Callable[[Any], Any], AsIs] = {
    serialize_string: AsIs(str),
    serialize_id: AsIs(str),
    serialize_boolean: AsIs(bool),
    serialize_int: AsIs(int, lambda v: min(v) >= GRAPHQL_MIN_INT and max(v) <= GRAPHQL_MAX_INT),
    serialize_float: AsIs(float, lambda v: all(map(isfinite, v))),
    str: AsIs(str),
    int: AsIs(int),
    float: AsIs(float),
}


def is_inert(kind: type) -> bool:
    """Whether the executor takes values of this type as values, neither raised nor awaited."""
    if issubclass(kind, Exception | GeneratorType | UndefinedType):
        return False
    return not any({"__await__", "__getattr__"} & vars(each).keys() for each in kind.__mro__)


class Child(NamedTuple):
    """A selected batched field."""

    field: BatchedField
    definition: GraphQLField
    nodes: Nodes


@dataclass(slots=True)
class Shape:
    """What a selection takes of the rows of one object type."""

    type_: GraphQLObjectType
    breadth_first: bool
    template: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    embedded: "dict[str, Shape]" = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    selection: set[str] = field(default_factory=set)

    def objects(self, rows: Sequence[Row], columns: Columns) -> Objects:
        """Complete rows, but for their batched fields."""
        objects = [self.template.copy() for _ in rows]
        for key, leaf in self.leaves.items():
            position = columns[leaf.column]
            assign(objects, key, leaf.complete([row[position] for row in rows]))
        for key, shape in self.embedded.items():
            assign(objects, key, shape.objects(rows, columns))
        return objects


def assign(objects: Objects, key: str, values: Iterable[Any]) -> None:
    """Set a field of many objects; faster than building each at once with `dict(zip(…))`."""
    for each, value in zip(objects, values, strict=True):
        each[key] = value


class Shapes:
    """The shapes of an operation, each derived once."""

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.known: dict[tuple[Any, ...], Shape] = {}

    def of(self, type_: GraphQLObjectType, nodes: Nodes) -> Shape:
        """What the selection sets of these nodes take of a type."""
        identity = (type_.name, *(id(each.node) for each in nodes))
        if identity not in self.known:
            self.known[identity] = self.derive(type_, nodes)
        return self.known[identity]

    def derive(self, type_: GraphQLObjectType, nodes: Nodes) -> Shape:
        """Collect the selected fields, once for all rows."""
        shape = Shape(type_, breadth_first=declaration(type_).is_type_of is None)
        selected = self.executor.collect_subfields(type_, nodes).grouped_field_set
        for key, field_nodes in selected.items():
            definition = self.executor.schema.get_field(type_, field_nodes[0].node.name.value)
            if definition is not None:
                shape.template[key] = None
                self.add(shape, key, definition, field_nodes)
        return shape

    def add(self, shape: Shape, key: str, definition: GraphQLField, nodes: Nodes) -> None:
        """Add a selected field to a shape."""
        declared, type_ = declaration(definition), get_nullable_type(definition.type)
        if declared is None and nodes[0].node.name.value == "__typename":
            shape.template[key] = shape.type_.name
        elif isinstance(declared, ColumnField) and is_leaf_type(type_):
            required, convert = is_non_null_type(definition.type), declared.metadata["convert"]
            shape.leaves[key] = Leaf(declared.column, convert, type_, required)
            shape.selection.add(declared.column)
        elif isinstance(declared, EmbeddedField) and is_object_type(type_):
            inner = shape.embedded[key] = self.of(type_, nodes)
            shape.selection |= inner.selection
            shape.breadth_first &= inner.breadth_first
        elif isinstance(declared, BatchedField):
            shape.children[key] = Child(declared, definition, nodes)
            shape.selection.update(declared.key_columns)
            shape.breadth_first &= self.is_breadth_first(declared, definition.type, nodes)
        else:
            shape.selection |= all_columns(declaration(shape.type_))
            shape.breadth_first = False

    def is_breadth_first(
        self, declared: BatchedField, type_: GraphQLOutputType, nodes: Nodes
    ) -> bool:
        """Whether a batched field can be completed breadth first, with all below it."""
        item = get_nullable_type(type_)
        if is_list_type(item):
            item = get_nullable_type(item.of_type)
        if declared.extensions or not is_object_type(item):
            return False
        return self.of(item, nodes).breadth_first


def declaration(type_or_field: Any) -> Any:
    """Strawberry's definition of a GraphQL type or field; None for GraphQL's own."""
    return type_or_field.extensions.get("strawberry-definition")


def all_columns(definition: Any) -> set[str]:
    """Every column from which a field of the type is read."""
    columns: set[str] = set()
    for declared in definition.fields:
        if isinstance(declared, ColumnField):
            columns.add(declared.column)
        elif isinstance(declared, EmbeddedField):
            columns |= all_columns(declared.origin_class.__strawberry_definition__)
    return columns


# Executing


class CompletedValue(NamedTuple):
    """A list or object that is ready for the response."""

    value: Any


Answer: TypeAlias = tuple[Columns, Sequence[Row]] | Exception
"""What a batch function answered for one key."""


class Level:
    """A batched field at one place in the response, for all the parents that it has there."""

    def __init__(
        self, levels: "Levels", declared: BatchedField, info: Any, arguments: dict[str, Any]
    ) -> None:
        self.levels, self.field, self.info, self.arguments = levels, declared, info, arguments
        type_ = info._raw_info.return_type
        nodes = [FieldDetails(node, None) for node in info._raw_info.field_nodes]
        types = object_types(levels.executor.schema, type_)
        shapes = [levels.shapes.of(each, nodes) for each in types]
        columns = {name for shape in shapes for name in shape.selection}
        is_abstract = is_abstract_type(get_named_type(type_))
        self.shape = shapes[0]
        self.selection = Selection({*columns, "__typename"} if is_abstract else columns)
        self.classes = {each.name: row_class(declaration(each).origin) for each in types}
        self.many, self.required = is_list_type(get_nullable_type(type_)), is_non_null_type(type_)
        self.breadth_first = levels.shapes.is_breadth_first(declared, type_, nodes)
        self.loader = DataLoader(self.load, cache=False)

    async def load(self, keys: Sequence[Any]) -> list[Any]:
        """The results for all the parents that the event loop has brought together."""
        self.loader.batch = None  # it would keep the results until the executor is collected
        levels = self.levels
        if levels.optimistic:
            levels.turn = levels.turn or LevelBatch(levels)
            results = await levels.turn.join(self, keys)
            if levels.optimistic:
                return results
        answers = {key: levels.answers[self, key] for key in keys if (self, key) in levels.answers}
        missing = [key for key in keys if key not in answers]
        if missing:
            answers |= zip(missing, split(await self.fetch(missing)), strict=True)
        return [self.wrap(answers[key]) for key in keys]

    async def fetch(self, keys: Sequence[Any]) -> Grouped:
        """Call the batch function."""
        function = cast("Callable[..., Any]", self.field.base_resolver)
        grouped = function(self.info, keys, self.selection, **self.arguments)
        if inspect.isawaitable(grouped):
            grouped = await grouped
        name, groups = self.field.python_name, grouped.groups
        if len(groups) != len(keys):
            raise ValueError(f"{name} returned {len(groups)} groups for {len(keys)} keys.")
        if not self.many and any(len(group) > 1 for group in groups):
            raise ValueError(f"{name} is no list, but a group has more than one row.")
        return cast("Grouped", grouped)

    def wrap(self, answer: Answer) -> Any:
        """Make objects of a parent's rows, or pass on the error in their place."""
        if isinstance(answer, Exception):
            return answer
        columns, rows = answer
        objects = [self.class_of(columns, row)(columns, row) for row in rows]
        return objects if self.many else next(iter(objects), None)

    def class_of(self, columns: Columns, row: Row) -> type[RowObject]:
        """The class of a row's object; none in particular if the row names no type."""
        if len(self.classes) == 1:
            return next(iter(self.classes.values()))
        return self.classes.get(row[columns["__typename"]], RowObject)


def object_types(schema: GraphQLSchema, type_: GraphQLOutputType) -> Sequence[GraphQLObjectType]:
    """The types that the rows of a batched field may have."""
    named = get_named_type(type_)
    if is_abstract_type(named):
        return schema.get_possible_types(named)
    if is_object_type(named):
        return [named]
    raise TypeError(f"A batched field has no rows of type {named}: it is no object type.")


def split(answer: Grouped | Exception) -> Iterable[Answer]:
    """What a batch function answered, for each of its keys."""
    if isinstance(answer, Exception):
        return repeat(answer)
    return [(answer.columns, group) for group in answer.groups]


class LevelBatch:
    """The levels that begin in one turn of the event loop, completed side by side.

    They are over together: if one of them deviates, all are completed the standard way, and
    errors are found in the standard order.
    """

    def __init__(self, levels: "Levels") -> None:
        self.levels = levels
        self.members: list[tuple[Level, Sequence[Any], asyncio.Future[list[Any]]]] = []
        self.answers: list[tuple[Level, Sequence[Any], Grouped | Exception]] = []
        self.task = asyncio.create_task(self.run())

    def join(self, level: Level, keys: Sequence[Any]) -> asyncio.Future[list[Any]]:
        """Complete a level; the results count only if all is still `optimistic` by then."""
        results: asyncio.Future[list[Any]] = self.task.get_loop().create_future()
        results.add_done_callback(self.stop_if_unwanted)
        self.members.append((level, keys, results))
        return results

    def stop_if_unwanted(self, _: object) -> None:
        """Stop when the last who waited was cancelled."""
        if all(results.cancelled() for _, _, results in self.members):
            self.task.cancel()
            self.close()

    def close(self) -> None:
        """Let no one join any more."""
        if self.levels.turn is self:
            self.levels.turn = None

    async def run(self) -> None:
        """Complete all levels, then let them go on in the order in which they came."""
        self.close()
        attempts = (self.attempt(level, keys) for level, keys, _ in self.members)
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        for failure in outcomes:
            if isinstance(failure, BaseException):
                logger.debug("A level deviates.", exc_info=failure)
                self.levels.optimistic = False
        if not self.levels.optimistic:
            for level, keys, answer in self.answers:
                each = zip(((level, key) for key in keys), split(answer), strict=False)
                self.levels.answers.update(each)
        for (_, _, results), outcome in zip(self.members, outcomes, strict=True):
            if not results.cancelled():
                results.set_result([] if isinstance(outcome, BaseException) else outcome)

    async def attempt(self, level: Level, keys: Sequence[Any]) -> list[Any]:
        """Complete a level for the standard way to take over from."""
        if not level.breadth_first:
            return [level.wrap(each) for each in split(await self.fetch(level, keys))]
        values = await self.complete(level, keys)
        return [None if value is None else CompletedValue(value) for value in values]

    async def complete(self, level: Level, keys: Sequence[Any]) -> list[Any]:
        """Fetch and complete the rows of all these keys, breadth first."""
        if not keys:
            return []
        grouped = await self.fetch(level, keys)
        completed = iter(await self.objects(level, grouped))
        if level.many:
            return [list(islice(completed, len(group))) for group in grouped.groups]
        if level.required and not all(grouped.groups):
            raise FallbackNeeded("null in a required field")
        return [next(completed) if group else None for group in grouped.groups]

    async def fetch(self, level: Level, keys: Sequence[Any]) -> Grouped:
        """Call the batch function, and keep what it answers in case a level deviates."""
        try:
            grouped = await level.fetch(keys)
        except Exception as error:
            self.answers.append((level, keys, error))
            raise
        self.answers.append((level, keys, grouped))
        return grouped

    async def objects(self, level: Level, grouped: Grouped) -> Objects:
        """Complete the rows of all groups and then, side by side, the levels below them."""
        rows, columns = list(chain.from_iterable(grouped.groups)), grouped.columns
        objects: Objects = []
        step = CELLS_AT_ONCE // (len(level.shape.template) or 1) or 1
        for start in range(0, len(rows), step):
            if start:
                await asyncio.sleep(0)
            objects += level.shape.objects(rows[start : start + step], columns)
        if rows:
            path = level.info._raw_info.path
            await all_of(self.fills(level.shape, objects, rows, columns, path))
        return objects

    def fills(
        self, shape: Shape, objects: Objects, rows: Sequence[Row], columns: Columns, path: Path
    ) -> Iterator[Awaitable[None]]:
        """Complete the batched fields of these objects, and of what is embedded in them."""
        for key in shape.template:
            here = path.add_key(key, shape.type_.name)
            if key in shape.children:
                yield self.fill(shape.children[key], objects, rows, columns, here)
            elif key in shape.embedded:
                inside = [each[key] for each in objects]
                yield from self.fills(shape.embedded[key], inside, rows, columns, here)

    async def fill(
        self, child: Child, objects: Objects, rows: Sequence[Row], columns: Columns, path: Path
    ) -> None:
        """Complete a batched field, through the resolver that Strawberry made of it."""
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
        parents = Parents(self, child.field.keys_of(rows, columns))
        assign(objects, str(path.key), await resolve(parents, info, **arguments))


async def all_of(awaitables: Iterable[Awaitable[Any]]) -> None:
    """Await all, even if one fails: none may still be running when the standard way begins."""
    for outcome in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Levels:
    """The levels of a running operation.

    They are kept on the executor, which lives exactly as long as the operation and which a
    resolver reaches through `info`, whatever the context is.
    """

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.shapes = Shapes(executor)
        self.known: dict[tuple[Any, ...], list[Level]] = {}
        self.optimistic = isinstance(executor, BreadthFirstExecutor) and executor.is_plain()
        self.answers: dict[tuple[Level, Any], Answer] = {}
        self.turn: LevelBatch | None = None

    @staticmethod
    def of(info: Any) -> "Levels":
        """The levels of the operation that a resolver runs in."""
        executor = info._raw_info.async_helpers.gather.__self__
        if "levels" not in vars(executor):
            executor.levels = Levels(executor)
        return cast("Levels", executor.levels)

    def level(self, declared: BatchedField, info: Any, arguments: dict[str, Any]) -> Level:
        """The level of a field: one for all the parents of which the same is asked."""
        here = self.known.setdefault(client_network(info._raw_info.path), [])
        for level in here:
            if level.arguments == arguments:
                level.info = info
                return level
        here.append(Level(self, declared, info, arguments))
        return here[-1]


def client_network(path: Path | None) -> tuple[Any, ...]:
    """Where in the response a field is, whatever the list indices."""
    keys = []
    while path is not None:
        if path.typename is not None:
            keys.append((path.typename, path.key))
        path = path.prev
    return tuple(keys)


class BreadthFirstExecutor(StrawberryGraphQLCoreExecutionContext):
    """Completes the levels of batched fields breadth first, and all else the standard way."""

    def is_plain(self) -> bool:
        """Whether nothing wraps the resolvers and nothing is delivered later."""
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
        """Take what is complete already."""
        if type(result) is CompletedValue:
            return result.value
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        """Give every event of a subscription levels of its own."""
        executor = super().build_per_event_executor(payload)
        executor.async_helpers = GraphQLResolveInfoHelpers(
            gather=executor.gather_async_work, track=executor.track_async_work
        )
        vars(executor).pop("levels", None)
        return executor
