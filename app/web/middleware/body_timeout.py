"""Bodies that arrive too slowly are given up, whatever route reads them."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import BodyTimedOut

_BYTES_PER_SECOND = 50_000
"""Each second's worth of body buys another second: a large body may take long, if it moves."""


class BodyTimeout:
    """Middleware that lets a request's body take some seconds, and more as it grows.

    A route that reads a slower one gets `BodyTimedOut`. Only the time spent waiting for the client
    counts, not what the route does in between.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http":
            receive = _Body(receive, self._seconds).receive
        await self._app(scope, receive, send)


class _Body:
    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._allowed = self._seconds = seconds
        self._ended = False

    async def receive(self) -> Message:
        """The next message; once the body has ended, that of the client's leaving, whenever."""
        if self._ended:
            return await self._receive()
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout(self._allowed):
                message = await self._receive()
        except TimeoutError:
            raise BodyTimedOut(self._seconds) from None
        self._ended = not message.get("more_body", False)
        arrived = len(message.get("body", b""))
        self._allowed += arrived / _BYTES_PER_SECOND - (loop.time() - asked_at)
        return message
