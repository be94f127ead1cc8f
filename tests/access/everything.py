"""Every root field and every route, for tests that try each."""

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
        """The shortest query of it; `arguments` are written in place of made-up ones."""
        given = {
            name: arguments.get(name) or _literal(argument.type)
            for name, argument in self.field.args.items()
            if name in arguments or is_required_argument(argument)
        }
        written = ", ".join(f"{name}: {value}" for name, value in given.items())
        called = f"{self.name}({written})" if given else self.name
        inner = " { __typename }" if is_composite_type(get_named_type(self.field.type)) else ""
        return f"{self.operation} {{ {called}{inner} }}"

    @property
    def arguments(self) -> dict[str, GraphQLArgument]:
        """Its arguments by name."""
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
    """All fields of Query and of Mutation."""
    built = schema._schema
    for operation, kind in (("query", built.query_type), ("mutation", built.mutation_type)):
        assert isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items():
            yield RootField(operation, name, field)


def routes(app: Starlette) -> Iterator[Route]:
    """All routes of the application."""
    for route in app.routes:
        assert isinstance(route, Route), f"a kind of route that no test knows: {route}"
        yield route
