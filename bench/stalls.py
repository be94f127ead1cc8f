"""The service with a clock in its event loop: how long at a time does it stand still?

A tick is due every millisecond. What the loop's thread computed between two ticks is what nobody
else could interrupt; unlike the time that passed, it is not lengthened by other processes.
"""

import asyncio
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.clock import system_clock
from app.main import create_app
from app.server.process_tuning import tune_gc
from app.server.store import open_store
from app.settings import Settings
from app.web.json_stream import dumps

_TICK_SECONDS = 0.001


@dataclass(slots=True)
class Ticks:
    """The longest computation between two ticks, and the latest tick, since the last look."""

    computed_seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Tick for ever."""
        due, computed = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now, then = time.perf_counter(), time.thread_time()
            self.computed_seconds.append(then - computed)
            self.late_seconds.append(now - due - _TICK_SECONDS)
            due, computed = now, then

    async def show(self, _: Request) -> Response:
        """Both maxima; begins anew."""
        told = {
            "computed_seconds": max(self.computed_seconds, default=0),
            "late_seconds": max(self.late_seconds, default=0),
        }
        self.computed_seconds.clear()
        self.late_seconds.clear()
        return Response(dumps(told), media_type="application/json")


async def serve(folder: Path) -> None:
    """Serve the store in a folder, on a port that is said on stdout."""
    async with open_store(Settings.load(), folder, system_clock) as database:
        ticks = Ticks()
        app = create_app(Settings.load(), database)
        app.router.routes.append(Route("/stalls", ticks.show))
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"listening {listener.getsockname()[1]}", flush=True)
        tune_gc()
        ticking = asyncio.create_task(ticks.run())
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])
        ticking.cancel()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
