"""A small HTTP/1.1 client for one connection, with little overhead of its own."""

import asyncio
from collections.abc import Mapping
from typing import Self, cast

import httptools


class HttpConnection(asyncio.Protocol):
    """A persistent connection that has at most one request in progress."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to a server on this machine."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    async def send(self, request: bytes) -> bytes:
        """Send a request; return the response's body.

        Raises:
            ConnectionError: The connection was closed first.
            RuntimeError: The status is not 200.
        """
        assert self._transport is not None
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the same methods, but another base class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(ConnectionError("The server closed the connection."))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        body, status = b"".join(self._parts), self._parser.get_status_code()
        self._parts.clear()
        self._parser = httptools.HttpResponseParser(self)
        if self._response is None or self._response.done():
            return
        if status == 200:
            self._response.set_result(body)
        else:
            self._response.set_exception(RuntimeError(f"status {status}: {body[:500]!r}"))


def compose_request(
    method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> bytes:
    """Return the bytes of a request."""
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
