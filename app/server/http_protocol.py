"""HTTP as uvicorn speaks it, with bounds on the head of a request and on how slowly it is read."""

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttpProtocol(HttpToolsProtocol):
    """Gives up connections whose heads never end, and those that ask and then hardly read.

    A head is a request line and headers; it may end neither in time nor in size. uvicorn's own
    protocol waits for ever, and keeps what came so far in memory: both cost an attacker nothing.
    An answer that is not read holds what it is made from: a report a connection to the
    store, of which there are few. Its reader may take some seconds, and a second more for each
    50 kB.
    """

    largest_head_bytes = 65_536
    head_seconds = 10.0
    reader_seconds = 20.0
    reader_bytes_per_second = 50_000

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._in_head = True
        self._head_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._reader_seconds = self.reader_seconds
        self._reader_patience: asyncio.TimerHandle | None = None

    # Narrower than asyncio declares it, as uvicorn's is.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_waiting()
        self._end_waiting_for_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The reader is behind: it has what is left of its seconds, and those that it earns."""
        super().pause_writing()
        unread = self.transport.get_write_buffer_size()
        self._reader_seconds += unread / self.reader_bytes_per_second
        self._paused_at = self.loop.time()
        self._reader_patience = self.loop.call_later(self._reader_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has caught up."""
        super().resume_writing()
        if self._reader_patience is not None:
            left = self._reader_seconds - (self.loop.time() - self._paused_at)
            self._reader_seconds = min(left, self.reader_seconds)
        self._end_waiting_for_reader()

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the head has become too large."""
        if self._in_head:
            self._begin_to_wait()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.largest_head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The head of a request may have {self.largest_head_bytes} bytes at the most.",
            )

    def on_headers_complete(self) -> None:
        """The head has ended; a body may follow."""
        self._in_head = False
        self._end_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Another request may follow, whose head is waited for once it begins."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _begin_to_wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self._give_up)

    def _end_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end_waiting_for_reader(self) -> None:
        if self._reader_patience is not None:
            self._reader_patience.cancel()
            self._reader_patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self._head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The head of a request may take {self.head_seconds:g} seconds to arrive.",
            )
        else:
            self.transport.close()  # Browsers open connections that they may never use.

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of uvicorn."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Say why, as every refusal is said, and hang up."""
        if self.transport.is_closing():
            return
        body = orjson.dumps({"msg": message, "code": int(status)})
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
