"""The public GraphQL contract: one type per module, and the checks that run before execution."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import strawberry
from graphql import (
    ExecutionResult,
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    execute,
)
from strawberry.schema.config import StrawberryConfig

from resolvers.context import Context
from resolvers.list_sizes import ListSizes
from schema.execution import BreadthFirstExecutor
from schema.list_bounds import CONTAINER, introspection_bounds, row_bounds
from schema.mutation import Mutation
from schema.operations import MAX_ERRORS, Operation, prepare_operation
from schema.query import Query
from schema.query_cost import estimate_cost
from schema.query_limits import QueryLimits
from schema.scalars import SCALARS


class _Schema(strawberry.Schema):
    def __init__(self, *args: Any, **options: Any) -> None:
        """Build the schema; an optional argument has no default value that clients can see.

        Strawberry would publish the `None` of a Python signature as `= null`.
        """
        super().__init__(*args, **options)
        for each in _iter_inputs(self._schema):
            if each.default_value is None:
                each.default_value = Undefined

    def process_errors(self, *_: object) -> None:
        """Log nothing: the endpoint logs unexpected errors, and callers read the others."""

    @cached_property
    def _introspection_bounds(self) -> Mapping[str, int]:
        return introspection_bounds(self._schema)

    def prepare_operation(
        self,
        query: str,
        operation_name: str | None,
        limits: QueryLimits,
        *,
        introspection: bool = True,
    ) -> Operation:
        """Parse and validate a query, and select its operation; see `schema.operations`."""
        return prepare_operation(
            self._schema, query, operation_name, limits, introspection=introspection
        )

    def estimate_cost(
        self, operation: Operation, variables: dict[str, Any] | None, sizes: ListSizes
    ) -> int:
        """Estimate an operation's cost for an organization of this size.

        See `schema.query_cost`.
        """
        bounds = row_bounds(sizes, self._introspection_bounds)
        return estimate_cost(
            self._schema, operation.document, operation.node, variables, bounds, CONTAINER
        )

    async def execute_operation(
        self,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        *,
        introspection: bool = True,
    ) -> ExecutionResult:
        """Execute a prepared operation; parsing and validation are not repeated."""
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=variables,
            operation_name=operation.name,
            max_coercion_errors=MAX_ERRORS,
            hide_suggestions=not introspection,
            executor_class=self.execution_context_class,
        )
        return result if isinstance(result, ExecutionResult) else await result


def _iter_inputs(schema: GraphQLSchema) -> Iterator[GraphQLArgument | GraphQLInputField]:
    """Return the arguments of all fields, and the fields of all input types."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            yield from type_.fields.values()
        elif isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                yield from field.args.values()


schema = _Schema(
    query=Query,
    mutation=Mutation,
    execution_context_class=BreadthFirstExecutor,
    config=StrawberryConfig(scalar_map=SCALARS),
)

__all__ = ["schema"]
