"""Serialize large JSON documents in chunks, so that the event loop can run between them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

_MAX_LIST_LENGTH = 128
"""Longer lists are serialized in parts, as are lists that contain longer lists."""
_PART_BYTES = 65_536
_CHUNK_BYTES = 131_072


def dumps(value: object) -> bytes:
    """Serialize a value; times are in UTC and end with `Z`."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def iter_json(value: object) -> Iterator[bytes]:
    """Serialize a value in parts of some 64 KB, each of which takes less than a millisecond."""
    if isinstance(value, dict) and any(map(_is_large, value.values())):
        separator = b"{"
        for key, item in value.items():
            yield separator + dumps(key) + b":"
            yield from iter_json(item)
            separator = b","
        yield b"}"
    elif isinstance(value, list) and len(value) > _MAX_LIST_LENGTH:
        yield b"["
        yield from _iter_elements(value)
        yield b"]"
    elif isinstance(value, list) and any(map(_is_large, value)):
        separator = b"["
        for item in value:
            yield separator
            yield from iter_json(item)
            separator = b","
        yield b"]"
    else:
        yield dumps(value)


def _is_large(value: object) -> bool:
    if isinstance(value, list):
        return len(value) > _MAX_LIST_LENGTH or any(map(_is_large, value))
    return isinstance(value, dict) and any(map(_is_large, value.values()))


def _iter_elements(values: list[Any]) -> Iterator[bytes]:
    """Serialize the elements of a list without its brackets, adapting the number per part."""
    start, count, separator = 0, 8, b""
    while start < len(values):
        part = dumps(values[start : start + count])[1:-1]
        yield separator + part
        start, separator = start + count, b","
        count = max(1, min(2 * count, count * _PART_BYTES // len(part)))


async def cooperative_chunks(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Join parts into chunks worth sending; yield to the event loop between chunks."""
    buffer: list[bytes] = []
    size = 0
    for part in parts:
        buffer.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(buffer)
            buffer, size = [], 0
            await asyncio.sleep(0)
    yield b"".join(buffer)
