"""uvicorn's HTTP protocol with limits on slow and oversized request heads and on slow readers."""

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttpProtocol(HttpToolsProtocol):
    """Close connections whose request head does not end, and those of clients that hardly read.

    A head is the request line and the headers. uvicorn's own protocol waits for it forever and
    keeps what has arrived in memory, which costs an attacker nothing.

    An unread response holds what it is made from; a report holds a database connection, and there
    are few of them. A reader may lag for `reader_seconds`, and for one second more per
    `reader_bytes_per_second`.
    """

    max_head_bytes = 65_536
    head_seconds = 10.0
    reader_seconds = 20.0
    reader_bytes_per_second = 50_000

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_budget = self.reader_seconds
        self._reader_timer: asyncio.TimerHandle | None = None

    # uvicorn declares a narrower transport than asyncio does.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_head_timer()
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
        """Parse data, unless the head has become too large."""
        if self._in_head:
            self._start_head_timer()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.max_head_bytes:
            self._reject(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The head of a request may have at most {self.max_head_bytes} bytes.",
            )

    def on_headers_complete(self) -> None:
        """Stop the timer of the head; a body may follow."""
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect another head; its timer starts with its first byte."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._reject(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The head of a request may take at most {self.head_seconds:g} seconds to arrive.",
            )
        else:
            self.transport.close()  # Browsers open connections that they may never use.

    def send_400_response(self, msg: str) -> None:
        """Reject data that is not HTTP, with uvicorn's message."""
        self._reject(HTTPStatus.BAD_REQUEST, msg)

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
