"""Plan what a selection needs of the rows of a type, and whether breadth first can do it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from types import GeneratorType, NoneType
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
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
from graphql.pyutils import UndefinedType
from graphql.type.scalars import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    serialize_boolean,
    serialize_float,
    serialize_id,
    serialize_int,
    serialize_string,
)

from schema.execution.fields import BatchedField, ColumnField, EmbeddedField, GroupRowsField
from schema.execution.rows import Columns, Row, Selection

Objects: TypeAlias = list[dict[str, Any]]
Nodes: TypeAlias = list[FieldDetails]


class FallbackNeeded(Exception):
    """Breadth-first completion met something that only standard execution can complete."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A selected field of one or several columns."""

    columns: tuple[str, ...]
    convert: Callable[..., Any] | None
    type_: GraphQLLeafType
    required: bool

    def complete(self, *columns: Sequence[Any]) -> Sequence[Any]:
        """Complete the field for many rows at once, from the values of each column.

        Raises:
            FallbackNeeded: A value is null in a required field, or needs standard execution.
        """
        values = columns[0]
        if self.convert is not None and len(columns) > 1:
            values = list(map(self.convert, *columns))
        elif self.convert is not None:
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
        """Coerce values with the type's own function, unless it returns them unchanged."""
        coerce = self.type_.coerce_output_value
        identity = IDENTITY_COERCIONS.get(coerce)
        if identity is not None and kinds == {identity.kind} and identity.holds(values):
            return values
        if not all(map(is_inert, kinds)):
            raise FallbackNeeded("an exception, an awaitable or the like in a column")
        if isinstance(self.type_, GraphQLEnumType) and len(kinds) == 1:
            names = {value: coerce(value) for value in set(values)}
            return [names[value] for value in values]
        coerced = list(map(coerce, values))
        if not {NoneType, UndefinedType}.isdisjoint(map(type, coerced)):
            raise FallbackNeeded("a scalar that serialized a value to null")
        return coerced


class IdentityCoercion(NamedTuple):
    """When a scalar returns values unchanged: all have this type, and the condition holds."""

    kind: type
    holds: Callable[[Sequence[Any]], bool] = bool


IDENTITY_COERCIONS: Mapping[Callable[[Any], Any], IdentityCoercion] = {
    serialize_string: IdentityCoercion(str),
    serialize_id: IdentityCoercion(str),
    serialize_boolean: IdentityCoercion(bool),
    serialize_int: IdentityCoercion(
        int, lambda v: min(v) >= GRAPHQL_MIN_INT and max(v) <= GRAPHQL_MAX_INT
    ),
    serialize_float: IdentityCoercion(float, lambda v: all(map(isfinite, v))),
    str: IdentityCoercion(str),
    int: IdentityCoercion(int),
    float: IdentityCoercion(float),
}


def is_inert(kind: type) -> bool:
    """Return whether the executor takes values of this type as they are.

    It raises exceptions and awaits awaitables instead.
    """
    if issubclass(kind, Exception | GeneratorType | UndefinedType):
        return False
    return not any({"__await__", "__getattr__"} & vars(each).keys() for each in kind.__mro__)


class Child(NamedTuple):
    """A selected batched field."""

    field: BatchedField
    definition: GraphQLField
    nodes: Nodes
    key_columns: tuple[str, ...]


class Embedded(NamedTuple):
    """A selected embedded object."""

    field: EmbeddedField
    shape: "Shape"


@dataclass(slots=True)
class Shape:
    """What a selection needs of the rows of one object type.

    Attributes:
        type_: The object type.
        breadth_first: Whether all fields, here and below, can be completed breadth first.
        template: The response keys in order; constants such as `__typename` have their value.
        leaves: The selected columns, by response key.
        embedded: The selected embedded objects, by response key.
        children: The selected batched fields, by response key.
        group_rows: The shapes of the rows of a group, by response key.
        selection: The columns that the fields need.
    """

    type_: GraphQLObjectType
    breadth_first: bool
    template: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    embedded: dict[str, Embedded] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    group_rows: "dict[str, Shape]" = field(default_factory=dict)
    selection: set[str] = field(default_factory=set)

    def complete(
        self, rows: Sequence[Row], columns: Columns, shared: Mapping[str, Sequence[Any]]
    ) -> Objects:
        """Complete rows, except for their batched fields.

        `shared` has the values that each row takes from its group, by column.
        """

        def read(name: str) -> Sequence[Any]:
            if name not in columns:
                return shared[name]
            position = columns[name]
            return [row[position] for row in rows]

        objects = [self.template.copy() for _ in rows]
        for key, leaf in self.leaves.items():
            assign(objects, key, leaf.complete(*map(read, leaf.columns)))
        for key, (declared, shape) in self.embedded.items():
            assign(objects, key, shape.complete(rows, declared.columns_of(columns), shared))
        return objects


def assign(objects: Objects, key: str, values: Iterable[Any]) -> None:
    """Set a field of many objects. This is faster than building each with `dict(zip(…))`."""
    for each, value in zip(objects, values, strict=True):
        each[key] = value


class ShapePlanner:
    """Plans the shapes of an operation, each once."""

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.shapes: dict[tuple[Any, ...], Shape] = {}

    def shape_of(self, type_: GraphQLObjectType, nodes: Nodes) -> Shape:
        """Return the shape of the selection sets of these nodes on a type."""
        identity = (type_.name, *(id(each.node) for each in nodes))
        if identity not in self.shapes:
            self.shapes[identity] = self.plan(type_, nodes)
        return self.shapes[identity]

    def plan(self, type_: GraphQLObjectType, nodes: Nodes) -> Shape:
        """Collect the selected fields, once for all rows."""
        shape = Shape(type_, breadth_first=definition_of(type_).is_type_of is None)
        selected = self.executor.collect_subfields(type_, nodes).grouped_field_set
        for key, field_nodes in selected.items():
            definition = self.executor.schema.get_field(type_, field_nodes[0].node.name.value)
            if definition is not None:
                shape.template[key] = None
                self.add_field(shape, key, definition, field_nodes)
        return shape

    def add_field(self, shape: Shape, key: str, definition: GraphQLField, nodes: Nodes) -> None:
        """Add a selected field to a shape."""
        declared, type_ = definition_of(definition), get_nullable_type(definition.type)
        if declared is None and nodes[0].node.name.value == "__typename":
            shape.template[key] = shape.type_.name
        elif isinstance(declared, ColumnField) and is_leaf_type(type_):
            required, convert = is_non_null_type(definition.type), declared.metadata["convert"]
            shape.leaves[key] = Leaf(declared.columns, convert, type_, required)
            shape.selection.update(declared.columns)
        elif isinstance(declared, EmbeddedField) and is_object_type(type_):
            inner = self.shape_of(type_, nodes)
            shape.embedded[key] = Embedded(declared, inner)
            shape.selection |= {declared.prefix + name for name in inner.selection}
            shape.breadth_first &= inner.breadth_first
        elif isinstance(declared, GroupRowsField):
            inner = shape.group_rows[key] = self.shape_of(row_type(definition), nodes)
            shape.selection |= {declared.python_name, *inner.selection}
            shape.breadth_first &= inner.breadth_first
        elif isinstance(declared, BatchedField):
            key_columns = self.key_columns(declared, definition.type, nodes)
            shape.children[key] = Child(declared, definition, nodes, key_columns)
            shape.selection.update(key_columns)
            shape.breadth_first &= self.is_breadth_first(declared, definition.type, nodes)
        else:
            shape.selection |= all_columns(definition_of(shape.type_))
            shape.breadth_first = False

    def key_columns(
        self, declared: BatchedField, type_: GraphQLOutputType, nodes: Nodes
    ) -> tuple[str, ...]:
        """Return the columns that form the key of a batched field."""
        if declared.reads is None:
            return declared.key
        return (*declared.key, *declared.reads(self.selection_of(type_, nodes)))

    def selection_of(self, type_: GraphQLOutputType, nodes: Nodes) -> Selection:
        """Return the columns that a batched field's rows need."""
        types = object_types(self.executor.schema, type_)
        columns = {name for each in types for name in self.shape_of(each, nodes).selection}
        if is_abstract_type(get_named_type(type_)):
            columns.add("__typename")
        return Selection(columns)

    def is_breadth_first(
        self, declared: BatchedField, type_: GraphQLOutputType, nodes: Nodes
    ) -> bool:
        """Return whether a batched field and all below it can be completed breadth first."""
        item = get_nullable_type(type_)
        if is_list_type(item):
            item = get_nullable_type(item.of_type)
        if declared.extensions or not is_object_type(item):
            return False
        return self.shape_of(item, nodes).breadth_first


def object_types(schema: GraphQLSchema, type_: GraphQLOutputType) -> Sequence[GraphQLObjectType]:
    """Return the types that the rows of a batched field can have."""
    named = get_named_type(type_)
    if is_abstract_type(named):
        return schema.get_possible_types(named)
    if is_object_type(named):
        return [named]
    raise TypeError(f"A batched field has no rows of type {named}: it is no object type.")


def definition_of(type_or_field: Any) -> Any:
    """Return Strawberry's definition of a GraphQL type or field; None for GraphQL's own."""
    return type_or_field.extensions.get("strawberry-definition")


def find_group_rows(type_: GraphQLObjectType) -> GraphQLField | None:
    """Return the field that has the rows of a group, if the type stands for a group."""
    fields: Iterable[GraphQLField] = type_.fields.values()
    return next((each for each in fields if isinstance(definition_of(each), GroupRowsField)), None)


def row_type(group_rows: GraphQLField) -> GraphQLObjectType:
    """Return the type of the rows of a group."""
    named = get_named_type(group_rows.type)
    if not is_object_type(named):
        raise TypeError(f"The rows of a group are of the type {named}: it is no object type.")
    return named


def all_columns(definition: Any) -> set[str]:
    """Return every column that a field of the type reads."""
    columns: set[str] = set()
    for declared in definition.fields:
        if isinstance(declared, ColumnField):
            columns.update(declared.columns)
        elif isinstance(declared, EmbeddedField):
            inner = all_columns(declared.origin_class.__strawberry_definition__)
            columns |= {declared.prefix + name for name in inner}
    return columns
