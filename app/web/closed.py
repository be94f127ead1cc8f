"""Documents of closed months, kept packed: asked for again, they cost no reading of rows."""

import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator


class ClosedDocuments:
    """The documents that were asked for last, up to a number of bytes.

    They are known by their ETag, which is another when a month was opened and closed again.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, etag: str) -> bytes | None:
        """A document, gzipped; None when it is not kept."""
        packed = self._packed.get(etag)
        if packed is not None:
            self._packed.move_to_end(etag)
        return packed

    async def keeping(self, etag: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a document on, and keep it once it was read to its end."""
        packer = zlib.compressobj(level=6, wbits=_GZIP)
        packed = bytearray()
        async for chunk in chunks:
            packed += packer.compress(chunk)
            yield chunk
        packed += packer.flush()
        self._keep(etag, bytes(packed))

    def _keep(self, etag: str, packed: bytes) -> None:
        if etag in self._packed or len(packed) > self._most_bytes:
            return
        self._packed[etag] = packed
        self._bytes += len(packed)
        while self._bytes > self._most_bytes:
            _, oldest = self._packed.popitem(last=False)
            self._bytes -= len(oldest)


_GZIP = 31
"""What zlib calls the format of gzip."""
