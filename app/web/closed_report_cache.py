"""Cache the documents of closed months, so that serving them again takes no query.

Documents are stored gzipped in the database, for all processes, and each process keeps recent ones
in memory. A document in memory is valid while the organization's revision, which comes with the
API key, is unchanged. Otherwise its tag is compared with the database.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

from app.domain.months import Month
from app.web.middleware.compression import compress, new_gzip_compressor

_GZIP_LEVEL = 6
"""These bytes are compressed once and sent often."""


@dataclass(frozen=True, slots=True)
class ClosedDocument:
    """A document as it is sent.

    Attributes:
        tag: Its version, which changes when the month is reopened and closed again.
        revision: The organization's revision when this tag was last known to be current.
        body: The document, gzipped or plain.
    """

    tag: str
    revision: int
    body: bytes


CacheKey = tuple[UUID, Month, bool]
"""The organization, the month, and whether the document is gzipped."""


class ClosedReportCache:
    """An LRU cache of documents, limited by their total size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._documents: OrderedDict[CacheKey, ClosedDocument] = OrderedDict()
        self._bytes = 0

    def get(
        self, key: CacheKey, *, tag: str | None = None, revision: int | None = None
    ) -> ClosedDocument | None:
        """Return the document if its tag or its revision matches."""
        document = self._documents.get(key)
        if document is None or (document.tag != tag and document.revision != revision):
            return None
        self._documents.move_to_end(key)
        return document

    def put(self, key: CacheKey, document: ClosedDocument) -> None:
        """Add a document and evict the least recently used ones that no longer fit."""
        if len(document.body) > self._max_bytes:
            return
        previous = self._documents.pop(key, None)
        self._bytes += len(document.body) - (len(previous.body) if previous is not None else 0)
        self._documents[key] = document
        while self._bytes > self._max_bytes:
            _, evicted = self._documents.popitem(last=False)
            self._bytes -= len(evicted.body)


async def gzip_and_save(
    chunks: AsyncIterator[bytes], save: Callable[[bytes], None], *, send_gzipped: bool
) -> AsyncIterator[bytes]:
    """Pass a document through, gzipped or plain; after its end, save it gzipped."""
    gzipped = bytearray()
    compressor = new_gzip_compressor(_GZIP_LEVEL)
    if send_gzipped:
        async for chunk in compress(chunks, compressor):
            gzipped += chunk
            yield chunk
    else:
        pending: asyncio.Future[bytes] | None = None
        async for chunk in chunks:
            gzipped += await pending if pending is not None else b""
            pending = asyncio.ensure_future(asyncio.to_thread(compressor.compress, chunk))
            yield chunk
        gzipped += await pending if pending is not None else b""
        gzipped += await asyncio.to_thread(compressor.flush)
    save(bytes(gzipped))
