"""Large responses are serialized in parts and compressed as a stream."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.web.json_stream import cooperative_chunks, dumps, iter_json
from app.web.middleware.compression import ENCODINGS, compress, negotiate_encoding

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)


def within(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)


def repeated(inner: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.builds(lambda element, count: [element] * count, inner, st.integers(100, most))


# Long lists nest at most twice; a third level would take gigabytes.
short = st.recursive(scalars, within, max_leaves=6)
long = repeated(short, 400)
values = st.recursive(short | long | repeated(long, 150), within, max_leaves=6)


@settings(deadline=None)
@given(values)
def test_joined_parts_equal_the_output_of_orjson(value: Any) -> None:
    assert b"".join(iter_json(value)) == orjson.dumps(value)


def test_parts_stay_small_for_large_elements() -> None:
    member = {"userName": "u" * 20, "totalSizeInMb": 1.5}
    workspaces = [{"name": f"w{n}", "members": [member] * (n % 700)} for n in range(1_000)]
    document = {"data": {"chargebackReport": {"workspaces": workspaces, "empty": []}}}
    made = list(iter_json(document))
    assert b"".join(made) == orjson.dumps(document)
    assert len(b"".join(made)) > 10_000_000
    assert max(map(len, made)) < 500_000


def test_times_are_serialized_in_utc() -> None:
    at = datetime(2026, 10, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert dumps([at, at.replace(microsecond=0)]) == (
        b'["2026-10-01T02:03:04.000005Z","2026-10-01T02:03:04Z"]'
    )


async def test_other_tasks_run_between_chunks() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    document = [{"name": "x" * 100}] * 100_000
    chunks = [chunk async for chunk in cooperative_chunks(iter_json(document))]
    counting.cancel()
    assert b"".join(chunks) == orjson.dumps(document)
    assert turns >= len(chunks) - 1 > 50


@pytest.mark.parametrize("coding", ENCODINGS, ids=lambda coding: coding.name)
async def test_compressed_chunks_decompress_to_the_original(coding: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(50):
            yield b"%d," % number * 1_000

    found = b"".join([part async for part in compress(chunks(), coding.new_compressor())])
    unpack = {"gzip": gzip.decompress, "zstd": zstd.decompress}[coding.name]
    assert unpack(found) == b"".join([chunk async for chunk in chunks()])
    assert len(found) < 20_000


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("GZIP;q=0.5, zstd;q=0", "gzip"),
        ("gzip;q=0.0", None),
        ("identity", None),
        ("br", None),
        ("", None),
    ],
)
def test_the_best_accepted_encoding_is_chosen(header: str, name: str | None) -> None:
    scope = {"type": "http", "headers": [(b"accept-encoding", header.encode())]}
    coding = negotiate_encoding(Request(scope))
    assert (coding.name if coding else None) == name
