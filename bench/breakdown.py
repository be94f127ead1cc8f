"""Where the time of a narrow query over HTTP goes: `python -m bench.breakdown`.

The service runs in a process of its own, which samples its stack each millisecond of CPU time.
One client sends one request after another. The rows of the table add up to the time that the
client measures: the service's CPU time by part, PostgreSQL's CPU time, and the rest, which is the
client, the kernel and waiting for a core.
"""

import argparse
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType

import orjson
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.clock import system_clock
from app.main import create_app
from app.observability.logs import configure_logs
from app.server.http_protocol import BoundedHttpProtocol
from app.server.process_tuning import tune_gc
from app.server.store import open_store
from app.settings import LogFormat, Settings
from bench import ours
from bench.load import drive
from bench.processes import Client, run_server
from bench.store import benchmark_store

_SAMPLE_SECONDS = 0.001
_PARTS: Sequence[tuple[str, Sequence[str]]] = (
    ("key and session", ("app/services/key_loader.py", "app/services/sessions.py", "web/auth.py")),
    ("audit", ("app/services/audit.py", "app/web/audit.py")),
    ("request log, metrics", ("app/observability/", "/logging/", "record_requests.py:_log")),
    ("begin, scope, rollback", ("snapshot.py:_open", "snapshot.py:_roll", "app/db/pool.py")),
    ("report row", ("resolvers/report",)),
    ("level of workspaces", ("resolvers/workspaces.py",)),
    ("parse, validate, limits", ("graphql.py:_prepare", "graphql_request.py", "_require_cost")),
    ("execution", ("/schema/", "/graphql/", "/strawberry/")),
    ("serialization", ("json_stream.py",)),
    ("middleware", ("app/web/middleware/",)),
    ("GraphQL endpoint", ("app/web/", "app/main.py")),
    ("routing, responses (Starlette)", ("/starlette/",)),
    ("HTTP (uvicorn)", ("/uvicorn/", "http_protocol.py")),
)
"""Each part with the code that belongs to it. A stack belongs to the first part that occurs in it,
except that middleware and the parts after it count only where they are the innermost."""
_ENCLOSING = 9
"""The number of parts at the start of `_PARTS` that include whatever they call."""
_OTHER = "event loop, sockets, rows decoded by the driver"


def find_part(frame: FrameType | None) -> str:
    """Return the part that a stack belongs to."""
    places = [f"{code.co_filename}:{code.co_name}" for code in _iter_code(frame)]
    for part, patterns in _PARTS[:_ENCLOSING]:
        if any(pattern in place for place in places for pattern in patterns):
            return part
    for place in places:
        for part, patterns in _PARTS[_ENCLOSING:]:
            if any(pattern in place for pattern in patterns):
                return part
    return _OTHER


def _iter_code(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


class Sampler:
    """Counts the samples of this process by part."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        signal.signal(signal.SIGPROF, self._sample)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self.counts[find_part(frame)] += 1

    async def restart(self, _: Request) -> Response:
        """Return the counts, and start over."""
        signal.setitimer(signal.ITIMER_PROF, _SAMPLE_SECONDS, _SAMPLE_SECONDS)
        counts, self.counts = self.counts, Counter()
        return Response(orjson.dumps(counts), media_type="application/json")


async def serve(folder: Path) -> None:
    """Serve the store in a folder as `chargeback serve` does, and sample this process."""
    configure_logs(LogFormat.JSON, "INFO")
    sampler = Sampler()
    async with open_store(Settings.load(), folder, system_clock) as database:
        app = create_app(Settings.load(), database)
        app.router.routes.append(Route("/samples", sampler.restart))
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"listening {listener.getsockname()[1]}", flush=True)
        tune_gc()
        config = uvicorn.Config(
            app, http=BoundedHttpProtocol, log_config=None, access_log=False, server_header=False
        )
        await uvicorn.Server(config).serve(sockets=[listener])


async def main(seconds: float, connections: int) -> None:
    """Print the table."""
    async with benchmark_store() as store:
        command = [sys.executable, "-m", "bench.breakdown", "--serve", str(store.folder)]
        headers, log = {"Authorization": store.key}, store.folder / "breakdown.log"
        async with run_server(command, log=log, headers=headers) as client:
            await _print_table(client, seconds, connections)


async def _print_table(client: Client, seconds: float, connections: int) -> None:
    request = client.compose_query(ours.NARROW)
    await drive(client, request, connections, 1)
    await client.get("/samples")
    load = await drive(client, request, connections, seconds)
    samples = orjson.loads(await client.get("/samples"))
    total, count = sum(samples.values()), load.requests
    service, postgres = load.service_cpu_seconds / count, load.postgres_cpu_seconds / count
    wall = load.seconds * connections / count
    rows = {part: service * samples.get(part, 0) / total for part in (*_names(), _OTHER)}
    rows["PostgreSQL"] = postgres
    if connections == 1:
        rows["client, kernel, waiting"] = wall - service - postgres
    print(f"{count:,} requests, {total:,} samples\n")
    print("| part | ms a request | share |\n| --- | ---: | ---: |")
    whole = sum(rows.values())
    for part, value in (*rows.items(), ("total", whole)):
        print(f"| {part} | {value * 1e3:.3f} | {value / whole:.0%} |")


def _names() -> list[str]:
    return [part for part, _ in _PARTS]


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.breakdown", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long to send requests")
    parser.add_argument(
        "--connections",
        type=int,
        default=1,
        help="with more than 1, the table has CPU time only",
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    _options = _parse_options()
    if _options.serve:
        uvloop.run(serve(_options.serve))
    else:
        uvloop.run(main(_options.seconds, _options.connections))
