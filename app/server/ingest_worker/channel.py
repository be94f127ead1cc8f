"""The messages between the service and its ingest worker, and the channel that carries them."""

import asyncio
import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from app.db.pool import ExecutedStatement
from app.domain.errors import ChargebackError
from app.ingest.store import IngestResult
from app.services.group_commit import IngestRequest
from app.settings import LogFormat


class Setup(NamedTuple):
    """The first message to the worker: how to reach the store and how to log."""

    url: str
    connections: int
    prepared_statements: bool
    max_batch_rows: int
    log_format: LogFormat
    log_level: str


class WorkerRequest(NamedTuple):
    """A batch to store; its body follows the message. `log_context` goes into each log line."""

    number: int
    request: IngestRequest
    log_context: Mapping[str, Any]


class WorkerResponse(NamedTuple):
    """The outcome of a request, and the statements that were executed for it.

    The statements of a group commit are reported with the first request of the group.
    """

    number: int
    outcome: IngestResult | ChargebackError | None
    """None means an unexpected error, which the worker has logged."""
    statements: Sequence[ExecutedStatement]


class Heartbeat(NamedTuple):
    """Sent every second while the worker is ready and its event loop runs."""

    statements: Sequence[ExecutedStatement]
    """Statements executed since the last heartbeat that belong to no request."""


class Channel:
    """One end of the socket pair. Carries whole messages, pickled; both ends are trusted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Open a channel on one end of the pair, which it owns from then on."""
        return cls(*await asyncio.open_connection(sock=end, limit=_BUFFER_BYTES))

    async def send(self, message: object, body: bytes = b"") -> None:
        """Send a message and its body. The body is not copied.

        Raises:
            OSError: The other end is closed.
        """
        pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTHS.pack(len(pickled), len(body)) + pickled)
        self._writer.write(body)
        await self._writer.drain()

    async def receive(self) -> tuple[Any, bytes] | None:
        """Return the next message and its body, or None once the other end is closed."""
        try:
            header = await self._reader.readexactly(_LENGTHS.size)
            length, body_length = _LENGTHS.unpack(header)
            message = pickle.loads(await self._reader.readexactly(length))  # noqa: S301  our own
            return message, await self._reader.readexactly(body_length)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


_LENGTHS = struct.Struct(">QQ")
_BUFFER_BYTES = 1_048_576
