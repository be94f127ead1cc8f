"""Strawberry over HTTP as its documentation sets it up: DataLoaders, cached parsing, uvicorn.

The batch functions are the product's resolvers, so it reads the same rows by the same statements.
It checks no key and audits nothing.
"""

import socket
import sys
from typing import Any
from uuid import UUID

import orjson
import strawberry
import uvicorn
import uvloop
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from app.db.engine import Database
from app.server.process_tuning import tune_gc
from bench.ours import InProcess
from bench.store import create_caller
from schema.query import Query
from schema.scalars import SCALARS

_PARSER_CACHE, _VALIDATION_CACHE = ParserCache(maxsize=64), ValidationCache(maxsize=64)
_SCHEMA = strawberry.Schema(
    query=Query,
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[lambda: _PARSER_CACHE, lambda: _VALIDATION_CACHE],
)


class _View(GraphQL[Any, Any]):
    """Strawberry's view; each request reads one snapshot, as the product's does."""

    def __init__(self, product: InProcess) -> None:
        super().__init__(_SCHEMA, graphql_ide=None)
        self._product = product

    async def run(self, request: Any, *_: object, **__: object) -> Any:
        async with self._product.context() as context:
            return await super().run(request, context)

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data, option=orjson.OPT_UTC_Z)


async def serve(url: str, organization_id: UUID) -> None:
    """Serve on a free port that is printed on stdout."""
    database = Database(url)
    view = _View(InProcess(database, create_caller(organization_id)))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening {listener.getsockname()[1]}", flush=True)
    tune_gc()  # As the product does.
    config = uvicorn.Config(view, log_level="warning", access_log=False, lifespan="off")
    await uvicorn.Server(config).serve(sockets=[listener])
    await database.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], UUID(sys.argv[2])))
