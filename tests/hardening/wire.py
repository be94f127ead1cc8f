"""Requests byte by byte: what no client library would send."""

import re
import socket
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str | bytes]]
KEY = b"THE-KEY"
"""Stands for the API key in a request that is written before there is one."""


class Attack(NamedTuple):
    """A request as its bytes, and a name to find it by."""

    name: str
    raw: bytes


class Answer(NamedTuple):
    """What came back; status 0 when the connection was closed without a word."""

    status: int
    head: bytes
    body: bytes
    seconds: float


def request(
    method: str,
    target: str | bytes,
    headers: Headers = (),
    body: bytes = b"",
    *,
    version: str = "HTTP/1.1",
    key: bool = True,
    length: bool = True,
) -> bytes:
    """A request that closes its connection, with the key unless `key` is false."""
    target = target.encode() if isinstance(target, str) else target
    lines = [b"%b %b %b" % (method.encode(), target, version.encode())]
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        lines.append(b"Host: chargeback.test")
    if key and "authorization" not in given:
        lines.append(b"Authorization: " + KEY)
    if length and body and "content-length" not in given:
        lines.append(b"Content-Length: %d" % len(body))
    for name, value in headers:
        lines.append(name.encode() + b": " + (value.encode() if isinstance(value, str) else value))
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(url: str, key: str, raw: bytes | Iterable[bytes], patience: float = 20) -> Answer:
    """Send a request, all of it or as much as is read, and read the answer to its end."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    began = time.monotonic()
    received = bytearray()
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=patience) as wire:
        try:
            for part in [raw] if isinstance(raw, bytes) else raw:
                wire.sendall(part.replace(KEY, key.encode()))
        except OSError:
            pass  # It answers early and hangs up: what it said can still be read.
        try:
            while chunk := wire.recv(65_536):
                received += chunk
        except OSError:
            pass
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    while re.match(rb"HTTP/1\.[01] 1[0-9]{2} ", head):  # To be continued.
        head, _, body = body.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    return Answer(int(found[1]) if found else 0, head, body, time.monotonic() - began)
