"""Read request bodies up to a maximum size, optionally decompressing gzip."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request

from app.domain.errors import BodyTooLarge, InvalidArgument
from app.gzip_stream import GzipDecompressor, InvalidGzip

IDENTITY, GZIP = "identity", "gzip"


class IncompleteBody(InvalidArgument):
    """The client disconnected before it sent the complete body."""


def parse_content_encoding(request: Request) -> str:
    """Return the name of the body's content encoding; `identity` if it has none."""
    return request.headers.get("content-encoding", "").strip().lower() or IDENTITY


def declared_length(request: Request) -> int | None:
    """Return the Content-Length; None if it is missing or invalid."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def read_body(
    request: Request,
    max_bytes: int,
    too_large: Callable[[int], BodyTooLarge],
    *,
    encoding: str = IDENTITY,
    reserve: Callable[[int], Awaitable[None]] | None = None,
) -> bytes:
    """Read a body, of which at most `max_bytes` are kept in memory.

    Args:
        request: Its body must not have been read.
        max_bytes: The limit, which applies to the body as sent and as decompressed.
        too_large: Creates the error for a body of at least the given size.
        encoding: IDENTITY, or GZIP to decompress the body.
        reserve: Called with the number of bytes before they are kept.

    Raises:
        BodyTooLarge: The body exceeds `max_bytes`.
        IncompleteBody: The client disconnected.
        InvalidArgument: The body is not valid gzip.
    """
    length = declared_length(request)
    if encoding == IDENTITY and length is not None and length > max_bytes:
        raise too_large(length)
    decompressor = GzipDecompressor() if encoding == GZIP else None
    body, received_bytes = bytearray(), 0
    try:
        async for chunk in request.stream():
            # Decompress only what fits: a small body can expand to gigabytes.
            remaining = max_bytes + 1 - len(body)
            plain = decompressor.decompress(chunk, remaining) if decompressor else chunk
            if reserve is not None and plain:
                await reserve(len(plain))
            body += plain
            received_bytes += len(chunk)
            if max(len(body), received_bytes) > max_bytes:
                raise too_large(max(len(body), received_bytes))
            # A body that has arrived whole would be decompressed without a pause.
            await asyncio.sleep(0)
        if decompressor:
            decompressor.finish()
    except InvalidGzip as error:
        raise InvalidArgument(f"The body is {error}.") from None
    except ClientDisconnect:
        raise IncompleteBody("The connection closed before the body was complete.") from None
    return bytes(body)
