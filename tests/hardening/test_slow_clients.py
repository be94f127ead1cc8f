"""Slow clients: slow or endless headers, and slow bodies."""

import asyncio
import contextlib
import queue
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.db.engine import Database
from app.server.http_protocol import BoundedHttpProtocol
from app.settings import Settings
from tests.conftest import FixedClock, create_client
from tests.hardening.corpus import CONTENT_TYPES, list_paths_with_body


async def trickled(pieces: int, size: int, pause: float) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b" " * size
        await asyncio.sleep(pause)


# What others send is not always read: who signs out says nothing that matters.
READ_BY = ("/graphql", "/api/events", "/signin", "/scim/v2/Users")


@pytest.fixture
async def impatient(
    database: Database, clock: FixedClock, admin_key: str
) -> AsyncIterator[httpx.AsyncClient]:
    """The application with a body timeout of one second, and an admin's key."""
    settings = Settings.load(admin_user_list="root", body_timeout_seconds=1)
    async with create_client(database, settings, clock) as client:
        client.headers["Authorization"] = admin_key
        yield client


@pytest.mark.parametrize("path", sorted(list_paths_with_body()))
async def test_a_slow_body_times_out(impatient: httpx.AsyncClient, path: str) -> None:
    content_type = CONTENT_TYPES.get(path, ["application/json"])[0]
    began = time.monotonic()
    answer = await impatient.post(
        path,
        content=trickled(1_000, 1, 0.05),
        headers={"Content-Type": content_type},
    )
    took = time.monotonic() - began
    assert took < 10
    assert answer.status_code < 500
    if path in READ_BY:
        assert took > 0.9
        assert answer.status_code == 408, answer.text
        assert "BODY_TIMEOUT_SECONDS" in answer.text


async def test_slow_bodies_do_not_block_other_clients(impatient: httpx.AsyncClient) -> None:
    slow = [
        asyncio.create_task(
            impatient.post(
                "/graphql",
                content=trickled(1_000, 1, 0.05),
                headers={"Content-Type": "application/json"},
            )
        )
        for _ in range(100)
    ]
    await asyncio.sleep(0.2)
    answer = await impatient.post("/graphql", json={"query": "{ viewer { username } }"})
    assert answer.json() == {"data": {"viewer": {"username": "root"}}}
    assert {(await each).status_code for each in slow} == {408}


async def test_a_large_body_extends_its_timeout(impatient: httpx.AsyncClient) -> None:
    """Half a megabyte arrives in two seconds; the timeout is one second plus ten for its size."""
    answer = await impatient.post(
        "/graphql",
        content=trickled(10, 50_000, 0.2),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert "INVALID_QUERY" in answer.text


class Impatient(BoundedHttpProtocol):
    head_seconds = 0.5
    max_head_bytes = 10_000
    reader_seconds = 0.5


ENDED: "queue.Queue[float]" = queue.Queue()
"""The seconds that each endless response took."""


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer requests; at `/endless`, send until the client has disconnected."""
    if scope["path"] == "/endless":
        await endless(send, asyncio.create_task(receive_all(receive)))
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


async def receive_all(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def endless(send: Send, left: "asyncio.Task[None]") -> None:
    began = time.monotonic()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not left.done():
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await asyncio.sleep(0)
    ENDED.put(time.monotonic() - began)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server with a header timeout of half a second and a header limit of 10 kB."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(hello, http=Impatient, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def read_all(wire: socket.socket) -> bytes:
    """Read until the connection is closed."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := wire.recv(65_536):
            received += chunk
    return received


def assert_refused(answer: bytes, status: int, message: str) -> None:
    """The response is complete, and in the form of every error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert {b"content-type: application/json", b"connection: close"} < {*head.split(b"\r\n")}
    assert f"content-length: {len(body)}".encode() in head
    assert orjson.loads(body) == {"msg": message, "code": status}


TOO_LATE = "The head of a request may take at most 0.5 seconds to arrive."


def test_incomplete_request_headers_time_out(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        began = time.monotonic()
        wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert_refused(read_all(wire), 408, TOO_LATE)
        assert 0.4 < time.monotonic() - began < 3


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"no header\r\n",
    ],
)
def test_invalid_http_gets_the_error_form(address: tuple[str, int], headers: bytes) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n{}")
        assert_refused(read_all(wire), 400, "Invalid HTTP request received.")


def test_slow_request_headers_time_out(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(50):
                wire.sendall(b"X: y\r\n")
                time.sleep(0.05)
            pytest.fail("it went on listening")
        if answer := read_all(wire):  # The reset may come first.
            assert_refused(answer, 408, TOO_LATE)


def test_an_idle_connection_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        assert read_all(wire) == b""


def test_endless_request_headers_are_rejected(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                wire.sendall(b"x" * 1_000)
                time.sleep(0.002)
        if answer := read_all(wire):  # The reset may come first.
            limit = "The head of a request may have at most 10000 bytes."
            assert_refused(answer, 431, limit)


def test_each_request_of_a_connection_has_its_own_timeout(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as wire:
        for _ in range(4):
            time.sleep(0.3)
            wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_all_answered(address: tuple[str, int]) -> None:
    """Together, the requests exceed the header limit of one."""
    one = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 3_000 + b"\r\n\r\n"
    last = one.replace(b"Host", b"Connection: close\r\nHost")
    with socket.create_connection(address, timeout=5) as wire:
        wire.sendall(one * 20 + last)
        assert read_all(wire).count(b"HTTP/1.1 200 ") == 21


def test_an_unread_response_is_aborted(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as wire:
        wire.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        # Half a second, plus a second per 50 kB in the buffer, which holds some 100 kB.
        assert ENDED.get(timeout=20) < 15


def test_a_slow_reader_is_aborted_and_a_steady_one_is_not(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address, timeout=20) as slow:
        slow.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        while ENDED.empty():
            slow.recv(1_000)
            time.sleep(0.1)
    ENDED.get()
    with socket.create_connection(address, timeout=20) as quick:
        quick.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert quick.recv(1_000_000)
        assert ENDED.empty()
    ENDED.get(timeout=5)
