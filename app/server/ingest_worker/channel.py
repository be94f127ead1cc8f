"""What the service and the feed's process say to each other, and how."""

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
    """What the process is told first."""

    url: str
    connections: int
    prepared_statements: bool
    log_format: LogFormat
    log_level: str


class WorkerRequest(NamedTuple):
    """A delivery, less its body, and what each line of the log says that is caused by it."""

    number: int
    delivery: IngestRequest
    logged: Mapping[str, Any]


class WorkerResponse(NamedTuple):
    """What became of a delivery, and the statements that were executed for it.

    Of deliveries that are stored in one transaction, its statements are the first one's.
    """

    number: int
    outcome: IngestResult | ChargebackError | None
    """None is a mistake of ours, which the process has logged."""
    statements: Sequence[ExecutedStatement]


class Heartbeat(NamedTuple):
    """The process is ready for deliveries, and its loop runs: said each second."""

    statements: Sequence[ExecutedStatement]
    """Those that were executed for no delivery since the sign before."""


class Channel:
    """One end of the pair of sockets: whole messages, pickled by the same program's other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """On an end of the pair, which it closes."""
        return cls(*await asyncio.open_connection(sock=end, limit=_BUFFERED_BYTES))

    async def send(self, message: object, body: bytes = b"") -> None:
        """Send a message and, uncopied, what belongs to it.

        Raises:
            OSError: The other end has gone.
        """
        written = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTHS.pack(len(written), len(body)) + written)
        self._writer.write(body)
        await self._writer.drain()

    async def receive(self) -> tuple[Any, bytes] | None:
        """The next message and what belongs to it; None when the other end has gone."""
        try:
            head = await self._reader.readexactly(_LENGTHS.size)
            length, body_length = _LENGTHS.unpack(head)
            message = pickle.loads(await self._reader.readexactly(length))  # noqa: S301  our own
            return message, await self._reader.readexactly(body_length)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


_LENGTHS = struct.Struct(">QQ")
_BUFFERED_BYTES = 1_048_576
