"""The HTTP protocol: versions, ambiguous framing, trailers, unread bodies, connections."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.server.connection_limit import ConnectionLimit
from app.server.http_protocol import BoundedHttpProtocol
from tests.server_process import ServerProcess

Address = tuple[str, int]


class Strict(BoundedHttpProtocol):
    unread_body_seconds = 0.5
    connection_limit = ConnectionLimit(20)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in two parts of unknown length: the headers, and the body unless at `/early`."""
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [
        [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
    ]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": orjson.dumps(headers), "more_body": True})
    await send({"type": "http.response.body", "body": b"\n" + body})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """A server that closes unread bodies after half a second, with at most 20 connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=Strict, lifespan="off", log_level="critical")
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


def exchange(address: Address, raw: bytes) -> tuple[bytes, bytes]:
    """Send raw bytes; return head and body of what comes back until the connection closes."""
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(raw)
        head, _, body = read_all(wire).partition(b"\r\n\r\n")
        return head, body


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
def test_http_1_0_gets_the_body_without_chunks(address: Address, connection: bytes) -> None:
    """Chunk sizes used to appear within the JSON."""
    head, body = exchange(
        address, b"POST / HTTP/1.0\r\n" + connection + b"Content-Length: 2\r\n\r\nhi"
    )

    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head
    headers, _, sent = body.partition(b"\n")
    assert ["content-length", "2"] in orjson.loads(headers)
    assert sent == b"hi"


def test_http_1_0_head_requests_have_no_body(address: Address) -> None:
    head, body = exchange(address, b"HEAD / HTTP/1.0\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


CLOSING = b"Host: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (b"GET /\r\n\r\n", 400, "Send HTTP/1.1 or HTTP/1.0, not HTTP/0.9."),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400, "Send HTTP/1.1 or HTTP/1.0, not HTTP/2.0."),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
            "Transfer-Encoding: only chunked is supported.",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x" + b"\r\nTransfer-Encoding: chunked" * 2 + b"\r\n\r\n",
            400,
            "Invalid HTTP request received.",
        ),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "Transfer-Encoding: only chunked is supported.",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"\\" * 9_000 + b"\r\n\r\n",
            431,
            "A header may have at most 8190 bytes.",
        ),
        (
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
            431,
            "A request may have at most 100 headers.",
        ),
    ],
    ids=["0.9", "2.0", "gzip, chunked", "chunked twice", "1.0 chunked", "long", "many"],
)
def test_ambiguous_and_oversized_heads_are_refused(
    address: Address, raw: bytes, status: int, message: str
) -> None:
    head, body = exchange(address, raw)

    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert orjson.loads(body) == {"msg": message, "code": status}


def test_trailers_are_not_treated_as_headers(address: Address) -> None:
    """A key in a trailer must not authenticate, nor replace a proxy's X-Forwarded-For."""
    _, body = exchange(
        address,
        b"POST / HTTP/1.1\r\n" + CLOSING + b"Transfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nAuthorization: cbk_x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    )

    headers, _, rest = body.partition(b"\n")
    assert b"authorization" not in headers
    assert b"x-forwarded-for" not in headers
    assert b"hi" in rest


def test_endless_trailers_are_cut_off(address: Address) -> None:
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(
            b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                wire.sendall(b"x" * 1_000)
                time.sleep(0.001)
            pytest.fail("it went on listening")


def test_a_slow_body_after_the_response_closes_the_connection(address: Address) -> None:
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert wire.recv(65_536).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 8:
                wire.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 3


def test_a_short_body_after_the_response_keeps_the_connection(address: Address) -> None:
    """Clients send head and body one after the other; an early error does not cost a new one."""
    with socket.create_connection(address, timeout=10) as wire:
        for _ in range(3):
            wire.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
            assert wire.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.1)
            wire.sendall(b"hi")
            time.sleep(0.6)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx",
    ],
    ids=["idle", "head", "body"],
)
def test_waiting_connections_are_replaced_by_new_ones_at_the_limit(
    address: Address, start: bytes
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            wire = stack.enter_context(socket.create_connection(address, timeout=10))
            wire.sendall(start)
        began = time.monotonic()
        head, _ = exchange(address, b"GET / HTTP/1.1\r\n" + CLOSING + b"\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began < 2


@pytest.mark.long
def test_many_unfinished_bodies_are_closed_and_others_are_served(service: ServerProcess) -> None:
    """They used to stay open for ever, and a thousand of them shut everybody out."""
    url = urlsplit(service.url)
    target = (str(url.hostname), int(url.port or 80))
    with contextlib.ExitStack() as stack:
        wires = [
            stack.enter_context(socket.create_connection(target, timeout=30)) for _ in range(1_500)
        ]
        for wire in wires:
            wire.sendall(b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx")
        assert httpx.get(f"{service.url}/healthz", timeout=30).status_code == 200

        remaining, until = list(wires), time.monotonic() + 60
        while remaining and time.monotonic() < until:
            time.sleep(1)
            remaining = [wire for wire in remaining if is_open(wire)]
        assert remaining == []


def is_open(wire: socket.socket) -> bool:
    """Send a byte and read what has arrived; return whether the connection is still open."""
    wire.settimeout(0.001)
    try:
        wire.sendall(b"x")
        while wire.recv(65_536):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_active_connections_are_never_replaced_and_health_checks_are_still_served() -> None:
    aborted: list[str] = []
    limit = ConnectionLimit(2)

    def add(name: str) -> bool:
        return limit.add(name, lambda: aborted.append(name))

    assert [add("a"), add("b")] == [True, True]
    limit.mark_working("a")
    assert add("c")
    assert aborted == ["b"]
    limit.mark_working("c")
    assert not add("health")
    limit.mark_working("health")
    assert aborted == ["b"]
    limit.remove("a")
    limit.remove("health")
    assert add("d")
    for number in range(40):
        limit.add(number, lambda: None)
        limit.mark_working(number)
    assert len(limit) <= 2 + 16
