"""The service with a timer in its event loop, which measures how long the loop is blocked.

The timer ticks every millisecond. The CPU time of the loop's thread between two ticks is the
length of an uninterrupted step; unlike the elapsed time, it does not depend on other processes.
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
    """The CPU time before each tick, and each tick's delay, since the figures were last read."""

    computed_seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Tick until cancelled."""
        due, computed = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now, cpu = time.perf_counter(), time.thread_time()
            self.computed_seconds.append(cpu - computed)
            self.late_seconds.append(now - due - _TICK_SECONDS)
            due, computed = now, cpu

    async def report_maxima(self, _: Request) -> Response:
        """Return both maxima, and start over."""
        maxima = {
            "computed_seconds": max(self.computed_seconds, default=0),
            "late_seconds": max(self.late_seconds, default=0),
        }
        self.computed_seconds.clear()
        self.late_seconds.clear()
        return Response(dumps(maxima), media_type="application/json")


async def serve(folder: Path) -> None:
    """Serve the store in a folder, on a free port that is printed on stdout."""
    async with open_store(Settings.load(), folder, system_clock) as database:
        ticks = Ticks()
        app = create_app(Settings.load(), database)
        app.router.routes.append(Route("/stalls", ticks.report_maxima))
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"listening {listener.getsockname()[1]}", flush=True)
        tune_gc()
        ticking = asyncio.create_task(ticks.run())
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])
        ticking.cancel()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
