"""All root fields and routes, for tests that try each of them."""

from collections.abc import Iterator
from typing import NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    is_composite_type,
    is_required_argument,
)
from graphql.type import get_named_type
from starlette.applications import Starlette
from starlette.routing import Route

from schema import schema

_VALUES = {
    "Month": '"2026-09"',
    "ID": '"x"',
    "String": '"x"',
    "Int": "1",
    "DateTime": '"2030-01-01T00:00:00Z"',
    "Boolean": "true",
    "BigInt": "1",
    "Float": "1.0",
}


class RootField(NamedTuple):
    """A field of Query or Mutation."""

    operation: str
    name: str
    field: GraphQLField

    def query(self, **arguments: str) -> str:
        """Return the shortest query of the field; `arguments` replace made-up values."""
        values = {
            name: arguments.get(name) or _literal(argument.type)
            for name, argument in self.field.args.items()
            if name in arguments or is_required_argument(argument)
        }
        arguments_text = ", ".join(f"{name}: {value}" for name, value in values.items())
        call = f"{self.name}({arguments_text})" if values else self.name
        inner = " { __typename }" if is_composite_type(get_named_type(self.field.type)) else ""
        return f"{self.operation} {{ {call}{inner} }}"

    @property
    def arguments(self) -> dict[str, GraphQLArgument]:
        """The arguments of the field by name."""
        return self.field.args


def _literal(kind: GraphQLInputType) -> str:
    if isinstance(kind, GraphQLNonNull):
        return _literal(kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{_literal(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    return _VALUES[str(get_named_type(kind).name)]


def root_fields() -> Iterator[RootField]:
    """Yield all fields of Query and Mutation."""
    built = schema._schema
    for operation, kind in (("query", built.query_type), ("mutation", built.mutation_type)):
        assert isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items():
            yield RootField(operation, name, field)


def routes(app: Starlette) -> Iterator[Route]:
    """Yield all routes of the application."""
    for route in app.routes:
        assert isinstance(route, Route), f"tests do not cover this kind of route: {route}"
        yield route
