"""uvicorn's HTTP protocol, stricter: bounded in time and memory, without ambiguous framing."""

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.server.connection_limit import ConnectionLimit, choose_connection_limit

_HEALTH_PATHS = frozenset({b"/healthz", b"/readyz"})


class RejectedRequest(Exception):
    """Stops the parser; the client already has an error."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Close connections whose client does not send, or hardly reads.

    A head is the request line and the headers. uvicorn's own protocol waits for it forever and
    keeps what has arrived in memory, which costs an attacker nothing. It also reads on, for as
    long as bytes arrive, when a request was answered before its body ended.

    An unread response holds what it is made from; a report holds a database connection, and there
    are few of them. A reader may lag for `reader_seconds`, and for one second more per
    `reader_bytes_per_second`.
    """

    max_head_bytes = 65_536
    max_header_bytes = 8_190
    max_headers = 100
    head_seconds = 10.0
    unread_body_seconds = 5.0
    reader_seconds = 20.0
    reader_bytes_per_second = 50_000
    connection_limit = ConnectionLimit(choose_connection_limit())

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._in_head = True
        self._idle_bytes = 0
        """The bytes since the head began, or since the last byte of a body."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._reader_budget = self.reader_seconds
        self._reader_timer: asyncio.TimerHandle | None = None

    # uvicorn declares a narrower transport than asyncio does.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request head."""
        super().connection_made(transport)
        self._only_health_checks = not self.connection_limit.add(self, transport.abort)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self.connection_limit.remove(self)
        self._stop_head_timer()
        self._stop_body_timer()
        self._stop_reader_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the timer of a client that reads more slowly than the response is written."""
        super().pause_writing()
        unread = self.transport.get_write_buffer_size()
        self._reader_budget += unread / self.reader_bytes_per_second
        self._paused_at = self.loop.time()
        self._reader_timer = self.loop.call_later(self._reader_budget, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer of a client that has caught up, and keep what is left of its budget."""
        super().resume_writing()
        if self._reader_timer is not None:
            left = self._reader_budget - (self.loop.time() - self._paused_at)
            self._reader_budget = min(left, self.reader_seconds)
        self._stop_reader_timer()

    def data_received(self, data: bytes) -> None:
        """Parse data, unless the head, or what is between the bytes of a body, is too large."""
        if self._in_head:
            self._start_head_timer()
        else:
            self.connection_limit.mark_waiting(self)
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > self.max_head_bytes:
            self._reject_large_head(
                f"The head of a request may have at most {self.max_head_bytes} bytes."
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; ignore trailers, which follow a body and have the same form."""
        if not self._in_head:
            return
        if len(name) + len(value) > self.max_header_bytes:
            self._reject_large_head(f"A header may have at most {self.max_header_bytes} bytes.")
            raise RejectedRequest
        if len(self.headers) >= self.max_headers:
            self._reject_large_head(f"A request may have at most {self.max_headers} headers.")
            raise RejectedRequest
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer of the head; a body may follow."""
        self._require_clear_framing()
        if self._only_health_checks and self.url.partition(b"?")[0] not in _HEALTH_PATHS:
            self._reject(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections; try again.")
            raise RejectedRequest
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def _require_clear_framing(self) -> None:
        """Reject versions and transfer codings that proxies may frame differently.

        Raises:
            RejectedRequest: The connection is closed.
        """
        version = self.parser.get_http_version()
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if version not in {"1.0", "1.1"}:
            self._reject(HTTPStatus.BAD_REQUEST, f"Send HTTP/1.1 or HTTP/1.0, not HTTP/{version}.")
        elif codings and (version == "1.0" or [each.lower() for each in codings] != [b"chunked"]):
            self._reject(HTTPStatus.BAD_REQUEST, "Transfer-Encoding: only chunked is supported.")
        else:
            return
        raise RejectedRequest

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect another head; its timer starts with its first byte."""
        self._in_head = True
        self._idle_bytes = 0
        super().on_message_complete()
        if self._body_timer is None:
            self.connection_limit.mark_working(self)
        else:
            self._stop_body_timer()
            self._start_head_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request, and only briefly for the rest of a body that nobody reads."""
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # A request that was sent without waiting for the response is next.
        self.connection_limit.mark_waiting(self)
        if not self._in_head and not self.transport.is_closing():
            self._body_timer = self.loop.call_later(self.unread_body_seconds, self.transport.close)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Respond to a request. HTTP/1.0 has no chunks; closing the connection ends the body."""
        is_old = cycle.scope["http_version"] == "1.0"
        super()._start_asgi_task(cycle, _end_with_connection(cycle, app) if is_old else app)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._idle_bytes:
            self._reject(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The head of a request may take at most {self.head_seconds:g} seconds to arrive.",
            )
        else:
            self.transport.close()  # Browsers open connections that they may never use.

    def send_400_response(self, msg: str) -> None:
        """Reject data that is not HTTP, with uvicorn's message."""
        self._reject(HTTPStatus.BAD_REQUEST, msg)

    def _reject_large_head(self, message: str) -> None:
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)

    def _reject(self, status: HTTPStatus, message: str) -> None:
        """Send an error in the form of all errors, and close the connection."""
        if self.transport.is_closing():
            return
        body = orjson.dumps({"msg": message, "code": int(status)})
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _end_with_connection(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Return an application whose responses of unknown length are sent without chunks."""

    async def respond(scope: Any, receive: Any, send: Any) -> None:
        has_length = True

        async def send_plain(message: Any) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                has_length = b"content-length" in names
                if not has_length:
                    cycle.chunked_encoding = False
            elif not has_length:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return respond
