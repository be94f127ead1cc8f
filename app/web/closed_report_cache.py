"""Documents of closed months, kept compressed: asked for again, they cost no query.

They are kept in the store, for all processes, and the last ones in memory. What is in memory is
known to be right as long as nothing in the organization has changed: its revision comes with the
key, and when it is another, the store is asked whether the month is still closed as it was.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

from app.domain.months import Month
from app.web.middleware.compression import compress, gzip_packer

SMALL = 6
"""How hard gzip tries: these bytes are made once and sent often."""


@dataclass(frozen=True, slots=True)
class ClosedDocument:
    """A document as it is sent.

    Attributes:
        tag: Its identity: another when the month was opened and closed again.
        revision: The organization's, when the month was last known to be closed with this tag.
        body: The document, gzipped or as it is.
    """

    tag: str
    revision: int
    body: bytes


Key = tuple[UUID, Month, bool]
"""The organization, the month, and whether the document is gzipped."""


class ClosedReportCache:
    """The documents that were asked for last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, ClosedDocument] = OrderedDict()
        self._bytes = 0

    def get(
        self, key: Key, *, tag: str | None = None, revision: int | None = None
    ) -> ClosedDocument | None:
        """The document with that tag, or as of that revision; None when it is not kept."""
        found = self._kept.get(key)
        if found is None or (found.tag != tag and found.revision != revision):
            return None
        self._kept.move_to_end(key)
        return found

    def keep(self, key: Key, document: ClosedDocument) -> None:
        """Keep a document, and forget those that were not asked for in the longest time."""
        if len(document.body) > self._most_bytes:
            return
        known = self._kept.pop(key, None)
        self._bytes += len(document.body) - (len(known.body) if known is not None else 0)
        self._kept[key] = document
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)


async def packing(
    chunks: AsyncIterator[bytes], keep: Callable[[bytes], None], *, as_packed: bool
) -> AsyncIterator[bytes]:
    """Pass a document on, compressed or as it is, and keep it once it was read to its end."""
    kept = bytearray()
    if as_packed:
        async for part in compress(chunks, gzip_packer(SMALL)):
            kept += part
            yield part
    else:
        packer, coming = gzip_packer(SMALL), None
        async for chunk in chunks:
            kept += await coming if coming is not None else b""
            coming = asyncio.ensure_future(asyncio.to_thread(packer.compress, chunk))
            yield chunk
        kept += await coming if coming is not None else b""
        kept += await asyncio.to_thread(packer.flush)
    keep(bytes(kept))
