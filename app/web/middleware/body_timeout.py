"""Time out request bodies that arrive too slowly, on every route."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import BodyTimedOut

_MIN_BYTES_PER_SECOND = 50_000
"""Each second's worth of bytes extends the timeout by a second, so large bodies have time."""


class BodyTimeout:
    """Middleware that raises `BodyTimedOut` in the route that reads a slow body.

    Only the time spent waiting for the client counts, not the route's own work in between.

    Args:
        app: The wrapped application.
        seconds: The initial timeout, which grows with the bytes received.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            receive = _TimedBody(receive, self._seconds).receive
        await self._app(scope, receive, send)


class _TimedBody:
    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._remaining = self._seconds = seconds
        self._is_complete = False

    async def receive(self) -> Message:
        """Return the next message; once the body is complete, wait without a timeout."""
        if self._is_complete:
            return await self._receive()
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            async with asyncio.timeout(self._remaining):
                message = await self._receive()
        except TimeoutError:
            raise BodyTimedOut(self._seconds) from None
        self._is_complete = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._remaining += size / _MIN_BYTES_PER_SECOND - (loop.time() - started_at)
        return message
