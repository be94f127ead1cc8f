# ruff: noqa: ASYNC220, ASYNC240  nothing else runs meanwhile
"""Processes beside this one: the service, its rivals, and the client of them all."""

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

from bench.measure import resident_bytes

_READY_SECONDS = 120
_IDLE_SECONDS = 1
_PORT = re.compile(r"(?:127\.0\.0\.1:|listening )(\d+)")


class Client:
    """One connection that is kept open, and nothing in between; blocking, so used in a thread."""

    def __init__(self, port: int, pid: int, headers: Mapping[str, str] | None = None) -> None:
        self.pid = pid
        self.idle_bytes = resident_bytes(pid) if pid else 0
        self.port = port
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._used_at = 0.0

    def another(self) -> "Client":
        """Another connection to the same service, which sends the same headers."""
        return Client(self.port, self.pid, self._headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer."""
        return await asyncio.to_thread(self.request, "GET", path, None, headers or {})

    async def ask(self, query: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The answer to a GraphQL query."""
        body = orjson.dumps({"query": query})
        headers = {"Content-Type": "application/json", **(headers or {})}
        return await asyncio.to_thread(self.request, "POST", "/graphql", body, headers)

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        """Send a request and read its whole answer."""
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # The server may have done so already.
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        read = answer.read()
        self._used_at = time.monotonic()
        assert answer.status == 200, (answer.status, read[:500])
        return read


@asynccontextmanager
async def serving(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """Run a server until the block ends; it says on stdout which port it listens on."""
    with log.open("w+") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
        try:
            port = await _port(process, log)
            yield Client(port, process.pid, headers)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)


async def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    for _ in range(_READY_SECONDS * 10):
        if found := _PORT.search(log.read_text(errors="replace")):
            return int(found[1])
        assert process.poll() is None, log.read_text(errors="replace")[-2_000:]
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{log} names no port")


def service_command(folder: Path) -> list[str | Path]:
    """`chargeback serve`, as it is started everywhere."""
    program = Path(sys.executable).with_name("chargeback")
    return [program, "serve", "--port", "0", "--data-dir", folder]
