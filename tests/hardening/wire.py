"""Send raw requests that no HTTP client library would send."""

import re
import socket
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str | bytes]]
KEY = b"THE-KEY"
"""The placeholder for the API key, which does not exist yet when the corpus is built."""


class Attack(NamedTuple):
    """A raw request with a name."""

    name: str
    raw: bytes


class RawResponse(NamedTuple):
    """A raw response; the status is 0 if the connection was closed without one."""

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
    """Return a request with `Connection: close`, and with the key unless `key` is false."""
    target = target.encode() if isinstance(target, str) else target
    lines = [b"%b %b %b" % (method.encode(), target, version.encode())]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append(b"Host: chargeback.test")
    if key and "authorization" not in names:
        lines.append(b"Authorization: " + KEY)
    if length and body and "content-length" not in names:
        lines.append(b"Content-Length: %d" % len(body))
    for name, value in headers:
        lines.append(name.encode() + b": " + (value.encode() if isinstance(value, str) else value))
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(url: str, key: str, raw: bytes | Iterable[bytes], timeout: float = 20) -> RawResponse:
    """Send as much of a request as the server reads, and return the complete response."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    started_at = time.monotonic()
    received = bytearray()
    with socket.create_connection((parts.hostname, parts.port or 80), timeout) as connection:
        try:
            for part in [raw] if isinstance(raw, bytes) else raw:
                connection.sendall(part.replace(KEY, key.encode()))
        except OSError:
            pass  # The server responded early and closed; its response can still be read.
        try:
            while chunk := connection.recv(65_536):
                received += chunk
        except OSError:
            pass
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    while re.match(rb"HTTP/1\.[01] 1[0-9]{2} ", head):  # Skip interim responses.
        head, _, body = body.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    return RawResponse(int(match[1]) if match else 0, head, body, time.monotonic() - started_at)
