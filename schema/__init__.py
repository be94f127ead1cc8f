"""The public contract in GraphQL: what rows look like to a client."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import strawberry
from graphql import ExecutionResult, execute
from strawberry.schema.config import StrawberryConfig

from resolvers.context import Context
from resolvers.sizes import Sizes
from schema.cost import cost_of
from schema.execution import BreadthFirstExecutor
from schema.mutation import Mutation
from schema.operations import MOST_ERRORS, Limits, Operation, prepare
from schema.query import Query
from schema.scalars import SCALARS
from schema.sizes import WHOLE, rows_of, told_by


class _Schema(strawberry.Schema):
    def process_errors(self, *_: Any) -> None:
        """The endpoint logs what is unexpected; a refusal is the caller's to read."""

    @cached_property
    def _told(self) -> Mapping[str, int]:
        return told_by(self._schema)

    def prepare(
        self,
        query: str,
        operation_name: str | None,
        limits: Limits,
        *,
        introspection: bool = True,
    ) -> Operation:
        """Parse and validate a query, and choose its operation; see `schema.operations`."""
        return prepare(self._schema, query, operation_name, limits, introspection=introspection)

    def cost(self, operation: Operation, variables: dict[str, Any] | None, sizes: Sizes) -> int:
        """What an operation costs on an organization of such a size; see `schema.cost`."""
        bounds = rows_of(sizes, self._told)
        return cost_of(self._schema, operation.document, operation.node, variables, bounds, WHOLE)

    async def execute_prepared(
        self,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        *,
        introspection: bool = True,
    ) -> ExecutionResult:
        """Execute an operation: what `execute` does after parsing and validating."""
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=variables,
            operation_name=operation.name,
            max_coercion_errors=MOST_ERRORS,
            hide_suggestions=not introspection,
            executor_class=self.execution_context_class,
        )
        return result if isinstance(result, ExecutionResult) else await result


schema = _Schema(
    query=Query,
    mutation=Mutation,
    execution_context_class=BreadthFirstExecutor,
    config=StrawberryConfig(scalar_map=SCALARS),
)

__all__ = ["schema"]
