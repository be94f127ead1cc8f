"""Limit how many queries of one API key run concurrently, over all routes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.domain.errors import TooManyConcurrentQueries


class ConcurrencyLimit:
    """Counts the running queries of this process by API key.

    Args:
        limit: The maximum number per key.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: Counter[str] = Counter()

    @contextmanager
    def slot(self, key_id: str) -> Iterator[None]:
        """Hold a slot for the length of a block.

        Raises:
            TooManyConcurrentQueries: The key has no free slot.
        """
        if self._running[key_id] >= self._limit:
            raise TooManyConcurrentQueries(limit=self._limit, value=self._running[key_id] + 1)
        self._running[key_id] += 1
        try:
            yield
        finally:
            self._running[key_id] -= 1
            if not self._running[key_id]:
                del self._running[key_id]


class HoldUntilSent(Response):
    """A response that holds resources until it was sent, or sending failed.

    A large response keeps its memory or its connection for as long as the client reads it, so
    its query counts as running until then.
    """

    def __init__(self, response: Response, resources: AsyncExitStack) -> None:
        super().__init__()
        self._response, self._resources = response, resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then release the resources."""
        async with self._resources:
            await self._response(scope, receive, send)
