"""Writing a large answer in pieces, so that others have their turn between them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

_LONG = 128
"""A longer list is written part by part; so is a shorter one whose elements have longer ones."""
_PIECE_BYTES = 65_536
_CHUNK_BYTES = 131_072


def dumps(value: object) -> bytes:
    """A value as JSON; instants are in UTC and end with Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def pieces(value: Any) -> Iterator[bytes]:
    """A value as JSON, in pieces of some 64 KB, each of which takes less than a millisecond."""
    if isinstance(value, dict) and any(map(_is_long, value.values())):
        separator = b"{"
        for key, part in value.items():
            yield separator + dumps(key) + b":"
            yield from pieces(part)
            separator = b","
        yield b"}"
    elif isinstance(value, list) and len(value) > _LONG:
        yield b"["
        yield from _parts(value)
        yield b"]"
    elif isinstance(value, list) and any(map(_is_long, value)):
        separator = b"["
        for part in value:
            yield separator
            yield from pieces(part)
            separator = b","
        yield b"]"
    else:
        yield dumps(value)


def _is_long(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > _LONG or any(map(_is_long, value))
    return isinstance(value, dict) and any(map(_is_long, value.values()))


def _parts(values: list[Any]) -> Iterator[bytes]:
    """The elements of a list without its brackets: as many at a time as make a piece."""
    start, count, separator = 0, 8, b""
    while start < len(values):
        written = dumps(values[start : start + count])[1:-1]
        yield separator + written
        start, separator = start + count, b","
        count = max(1, min(2 * count, count * _PIECE_BYTES // len(written)))


async def in_turns(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces in chunks that are worth sending; between two, others have their turn."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
            await asyncio.sleep(0)
    yield b"".join(gathered)
