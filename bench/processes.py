# ruff: noqa: ASYNC220, ASYNC240  nothing else runs in this event loop
"""Server processes to measure, and the HTTP client for them."""

import asyncio
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from bench.http_client import compose_request
from bench.measure import resident_bytes

_READY_SECONDS = 120
_IDLE_SECONDS = 1
PORT = re.compile(r"(?:127\.0\.0\.1:|listening )(\d+)")
"""Finds the port in the line that a server prints once it is ready."""


class Client:
    """One persistent connection. Requests block, so the methods with `async` use a thread."""

    def __init__(self, port: int, pid: int, headers: Mapping[str, str] | None = None) -> None:
        self.pid = pid
        self.idle_bytes = resident_bytes(pid) if pid else 0
        self.port = port
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._used_at = 0.0

    def clone(self) -> "Client":
        """Return a client with its own connection to the same service and the same headers."""
        return Client(self.port, self.pid, self._headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Send a GET request; return the body."""
        return await asyncio.to_thread(self.request, "GET", path, None, headers or {})

    async def query(self, query: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Send a GraphQL query; return the response body."""
        body = orjson.dumps({"query": query})
        headers = {"Content-Type": "application/json", **(headers or {})}
        return await asyncio.to_thread(self.request, "POST", "/graphql", body, headers)

    def compose_query(self, query: str) -> bytes:
        """Return the bytes of the request that sends a GraphQL query."""
        headers = {"Content-Type": "application/json", **self._headers}
        return compose_request("POST", "/graphql", headers, orjson.dumps({"query": query}))

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        """Send a request; return the whole response body."""
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # The server may have closed it already.
        self._connection.request(method, path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        content = response.read()
        self._used_at = time.monotonic()
        assert response.status == 200, (response.status, content[:500])
        return content


@asynccontextmanager
async def run_server(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """Run a server until the block ends. It must print the port that it listens on."""
    with log.open("w+") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
        try:
            port = await _wait_for_port(process, log)
            yield Client(port, process.pid, headers)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)


async def _wait_for_port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    for _ in range(_READY_SECONDS * 10):
        if match := PORT.search(log.read_text(errors="replace")):
            return int(match[1])
        assert process.poll() is None, log.read_text(errors="replace")[-2_000:]
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{log}: the server printed no port")


def service_command(folder: Path) -> list[str | Path]:
    """Return the command line of `chargeback serve`."""
    program = Path(sys.executable).with_name("chargeback")
    return [program, "serve", "--port", "0", "--data-dir", folder]
