"""Clients that send headers or bodies slowly, send endless headers, or read slowly."""

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


async def send_slowly(chunks: int, size: int, pause: float) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield b" " * size
        await asyncio.sleep(pause)


PATHS_THAT_READ_THE_BODY = ("/graphql", "/api/events", "/signin", "/scim/v2/Users")
"""Other routes, such as /signout, may ignore the body."""


@pytest.fixture
async def client(
    database: Database, clock: FixedClock, admin_key: str
) -> AsyncIterator[httpx.AsyncClient]:
    """The application with a body timeout of one second, and an admin's key."""
    settings = Settings.load(admin_user_list="root", body_timeout_seconds=1)
    async with create_client(database, settings, clock) as client:
        client.headers["Authorization"] = admin_key
        yield client


@pytest.mark.parametrize("path", sorted(list_paths_with_body()))
async def test_a_slow_body_times_out(client: httpx.AsyncClient, path: str) -> None:
    content_type = CONTENT_TYPES.get(path, ["application/json"])[0]
    started_at = time.monotonic()
    response = await client.post(
        path,
        content=send_slowly(1_000, 1, 0.05),
        headers={"Content-Type": content_type},
    )
    seconds = time.monotonic() - started_at
    assert seconds < 10
    assert response.status_code < 500
    if path in PATHS_THAT_READ_THE_BODY:
        assert seconds > 0.9
        assert response.status_code == 408, response.text
        assert "BODY_TIMEOUT_SECONDS" in response.text


async def test_slow_bodies_do_not_block_other_clients(client: httpx.AsyncClient) -> None:
    slow = [
        asyncio.create_task(
            client.post(
                "/graphql",
                content=send_slowly(1_000, 1, 0.05),
                headers={"Content-Type": "application/json"},
            )
        )
        for _ in range(100)
    ]
    await asyncio.sleep(0.2)
    response = await client.post("/graphql", json={"query": "{ viewer { username } }"})
    assert response.json() == {"data": {"viewer": {"username": "root"}}}
    assert {(await each).status_code for each in slow} == {408}


async def test_a_large_body_extends_its_timeout(client: httpx.AsyncClient) -> None:
    """Half a megabyte arrives in two seconds; the timeout is one second plus ten for its size."""
    response = await client.post(
        "/graphql",
        content=send_slowly(10, 50_000, 0.2),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 400
    assert "INVALID_QUERY" in response.text


class StrictProtocol(BoundedHttpProtocol):
    head_seconds = 0.5
    max_head_bytes = 10_000
    reader_seconds = 0.5


STREAM_SECONDS: "queue.Queue[float]" = queue.Queue()
"""The duration of each endless response."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with `hello`; at `/endless`, send until the client disconnects."""
    if scope["path"] == "/endless":
        await stream_endlessly(send, asyncio.create_task(wait_for_disconnect(receive)))
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream_endlessly(send: Send, disconnected: "asyncio.Task[None]") -> None:
    started_at = time.monotonic()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not disconnected.done():
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await asyncio.sleep(0)
    STREAM_SECONDS.put(time.monotonic() - started_at)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server with a header timeout of half a second and a header limit of 10 kB."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=StrictProtocol, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def read_all(connection: socket.socket) -> bytes:
    """Read until the connection is closed."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def assert_error(response: bytes, status: int, message: str) -> None:
    """Assert that a raw response is complete and has the documented form of an error."""
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert {b"content-type: application/json", b"connection: close"} < {*head.split(b"\r\n")}
    assert f"content-length: {len(body)}".encode() in head
    assert orjson.loads(body) == {"msg": message, "code": status}


HEAD_TIMEOUT = "The head of a request may take at most 0.5 seconds to arrive."


def test_incomplete_request_headers_time_out(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        started_at = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert_error(read_all(connection), 408, HEAD_TIMEOUT)
        assert 0.4 < time.monotonic() - started_at < 3


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
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n{}")
        assert_error(read_all(connection), 400, "Invalid HTTP request received.")


def test_slow_request_headers_time_out(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(50):
                connection.sendall(b"X: y\r\n")
                time.sleep(0.05)
            pytest.fail("the server kept the connection open")
        if response := read_all(connection):  # The reset may arrive first.
            assert_error(response, 408, HEAD_TIMEOUT)


def test_an_idle_connection_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        assert read_all(connection) == b""


def test_endless_request_headers_are_rejected(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"x" * 1_000)
                time.sleep(0.002)
        if response := read_all(connection):  # The reset may arrive first.
            limit = "The head of a request may have at most 10000 bytes."
            assert_error(response, 431, limit)


def test_each_request_of_a_connection_has_its_own_timeout(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=5) as connection:
        for _ in range(4):
            time.sleep(0.3)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_all_answered(address: tuple[str, int]) -> None:
    """The requests together exceed the header limit that applies to each."""
    one = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 3_000 + b"\r\n\r\n"
    last = one.replace(b"Host", b"Connection: close\r\nHost")
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(one * 20 + last)
        assert read_all(connection).count(b"HTTP/1.1 200 ") == 21


def test_an_unread_response_is_aborted(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        # The limit is half a second plus a second per 50 kB in the buffer of some 100 kB.
        assert STREAM_SECONDS.get(timeout=20) < 15


def test_a_slow_reader_is_aborted_and_a_steady_one_is_not(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address, timeout=20) as slow:
        slow.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        while STREAM_SECONDS.empty():
            slow.recv(1_000)
            time.sleep(0.1)
    STREAM_SECONDS.get()
    with socket.create_connection(address, timeout=20) as steady:
        steady.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            assert steady.recv(1_000_000)
        assert STREAM_SECONDS.empty()
    STREAM_SECONDS.get(timeout=5)
