"""Decompress gzip: a stream of one or more members, in chunks of any size.

Request bodies, imported files and fetched reports are all decompressed here.
"""

import io
import zlib
from typing import cast

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31
"""The `wbits` value by which zlib reads the gzip format."""
_CHUNK_BYTES = 16_384
"""Decompresses to 16 MiB at most."""


class InvalidGzip(OSError):
    """The data is not gzip, is truncated, or is followed by something else."""


class GzipDecompressor:
    """Decompresses a stream chunk by chunk."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP_WBITS)

    def decompress(self, chunk: bytes, limit: int = 0) -> bytes:
        """Return what a chunk decompresses to.

        Args:
            chunk: The next part of the stream.
            limit: The most bytes to return; 0 returns all. A stream that reaches its limit cannot
                be continued.

        Raises:
            InvalidGzip: The chunk is not gzip.
        """
        output, rest = bytearray(), chunk
        try:
            while rest and not (limit and len(output) >= limit):
                if self._member.eof:
                    # Like gzip itself, accept zeros that pad the file to the size of a block.
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    self._member = zlib.decompressobj(wbits=_GZIP_WBITS)
                output += self._member.decompress(rest, limit - len(output) if limit else 0)
                rest = self._member.unused_data
        except zlib.error as error:
            raise InvalidGzip(f"not valid gzip: {error}") from None
        return bytes(output)

    def finish(self) -> None:
        """Check that the stream is complete.

        Raises:
            InvalidGzip: It is not.
        """
        if not self._member.eof:
            raise InvalidGzip("not valid gzip: it is truncated")


def decompress_gzip(data: bytes) -> bytes:
    """Return the decompressed data.

    Raises:
        InvalidGzip: The data is not gzip.
    """
    decompressor = GzipDecompressor()
    output = decompressor.decompress(data)
    decompressor.finish()
    return output


def open_plain(file: io.BufferedReader) -> io.BufferedReader:
    """Return a reader of a file's content, decompressed if its first bytes are those of gzip.

    Reading raises `InvalidGzip`, which is an `OSError`, if the rest is not gzip.
    """
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file
    return io.BufferedReader(_GzipReader(file))


class _GzipReader(io.RawIOBase):
    """Reads the decompressed content of a file."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._decompressor = GzipDecompressor()
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = cast("memoryview", buffer)
        while not self._output:
            chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                self._decompressor.finish()
                return 0
            self._output = memoryview(self._decompressor.decompress(chunk))
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count
