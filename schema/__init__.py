"""The public contract in GraphQL: what rows look like to a client."""

from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.execution import BreadthFirstExecutor
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS


class _Schema(strawberry.Schema):
    def process_errors(self, *_: Any) -> None:
        """The endpoint logs what is unexpected; a refusal is the caller's to read."""


schema = _Schema(
    query=Query,
    mutation=Mutation,
    execution_context_class=BreadthFirstExecutor,
    config=StrawberryConfig(scalar_map=SCALARS),
)

__all__ = ["schema"]
