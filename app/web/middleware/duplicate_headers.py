"""Reject requests that repeat a header on which authentication or routing depends.

A proxy may use the first of two values and the service the last, so both are rejected. HTTP/1.1
requires exactly one Host header (RFC 9112, section 3.2).
"""

from collections import Counter

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import InvalidArgument
from app.web.errors import handle_error

_UNIQUE_HEADERS = {
    b"host": "Host",
    b"authorization": "Authorization",
    b"content-type": "Content-Type",
}


class RejectDuplicateHeaders:
    """Middleware that answers such a request with an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or reject it."""
        error = _find_error(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            response = await handle_error(Request(scope), error)
            await response(scope, receive, send)


def _find_error(scope: Scope) -> InvalidArgument | None:
    counts = Counter(name for name, _ in scope["headers"])
    for name, header in _UNIQUE_HEADERS.items():
        if counts[name] > 1:
            return InvalidArgument(f"Send the header {header} only once; got {counts[name]}.")
    if not counts[b"host"] and scope["http_version"] == "1.1":
        return InvalidArgument("HTTP/1.1 requires a Host header.")
    return None
