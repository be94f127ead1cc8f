"""The product's queries, in process, and its schema with the standard executor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import orjson
from strawberry.schema.config import StrawberryConfig

from app.clock import system_clock
from app.db.engine import Database
from app.domain.callers import Caller
from app.settings import Settings
from app.web.report_document import read_report_header, stream_document
from bench.store import MONTH
from resolvers.context import Context
from schema import schema
from schema.mutation import Mutation
from schema.operations import Operation
from schema.query import Query
from schema.query_limits import QueryLimits
from schema.scalars import SCALARS

_WORKSPACE = """
    name numberOfMembers totalSizeInMb numberOfExperiments
    members { userName email numberOfExperiments totalSizeInMb }
    projects { name numberOfExperiments totalSizeInMb }
"""


def _query(selection: str) -> str:
    return f'{{ chargebackReport(month: "{MONTH}") {{ {selection} }} }}'


FULL = _query(f"""
    reportDate
    workspaces {{ {_WORKSPACE} }}
    users {{
        licensedUsers {{
            username email createdAt uiUsageCount uiUsageUpdatedAt sdkUsageCount sdkUsageUpdatedAt
            suspended
        }}
        numberOfUsers createdAt
    }}
""")
"""The documented document as a GraphQL query."""
NARROW = _query("workspaces { name totalSizeInMb }")
PAGE = _query(f"workspaces(first: 50) {{ {_WORKSPACE} }}")
FIRST_MEMBERS = _query(
    "workspaces { name members(first: 10) { userName numberOfExperiments totalSizeInMb } }"
)

limits = QueryLimits(tokens=2_000, depth=15, aliases=50, directives=50)


@cache
def prepare_query(query: str) -> Operation:
    """Parse and validate a query once; the endpoint caches short queries too."""
    return schema.prepare_operation(query, None, limits)


standard_schema = type(schema)(
    query=Query, mutation=Mutation, config=StrawberryConfig(scalar_map=SCALARS)
)
"""The same schema with Strawberry's executor; batched fields use DataLoaders there."""


class InProcess:
    """The product without a server around it."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database, self._caller = database, caller
        self._settings = Settings.load()

    @asynccontextmanager
    async def context(self) -> AsyncIterator[Context]:
        """Open the context of a request."""
        database, caller = self._database, self._caller
        async with database.snapshot(caller.organization_id) as snapshot:
            yield Context(caller, database, snapshot, self._settings, system_clock())

    async def graphql(self, query: str, executed_by: Any = schema) -> bytes:
        """Execute a query and serialize the response, like the endpoint but without HTTP."""
        operation = prepare_query(query)
        async with self.context() as context:
            result = await executed_by.execute_operation(operation, None, context)
        assert not result.errors, result.errors[0]
        return orjson.dumps({"data": result.data}, option=orjson.OPT_UTC_Z)

    async def rest(self) -> bytes:
        """Return the documented REST document, produced in chunks as over HTTP."""
        async with self.context() as context:
            header = await read_report_header(context, None, MONTH)
            return b"".join([chunk async for chunk in stream_document(context, header)])
