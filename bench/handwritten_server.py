"""Serve the hand-written documents over HTTP, without keys, error handling or compression."""

import socket
import sys
from uuid import UUID

import asyncpg
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.server.process_tuning import tune_gc
from bench.handwritten import HandwrittenQueries
from bench.store import MONTH


async def serve(url: str, organization_id: UUID) -> None:
    tune_gc()  # As the product does.
    async with asyncpg.create_pool(url, min_size=2, max_size=4) as pool:
        handwritten = HandwrittenQueries(pool, organization_id, MONTH)

        async def full(_: Request) -> Response:
            return Response(await handwritten.full(), media_type="application/json")

        async def rest(_: Request) -> Response:
            return Response(await handwritten.rest(), media_type="application/json")

        app = Starlette(routes=[Route("/full", full), Route("/rest", rest)])
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"listening {listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], UUID(sys.argv[2])))
