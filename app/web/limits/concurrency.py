"""How many queries of one key run at a time, by whatever route."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.domain.errors import TooManyConcurrentQueries


class ConcurrencyLimit:
    """Counts the queries that run in this process, by key.

    Args:
        most: How many of one key may.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: Counter[str] = Counter()

    @contextmanager
    def counting(self, key_id: str) -> Iterator[None]:
        """Count a query for the length of a block.

        Raises:
            TooManyConcurrentQueries: As many of this key run already.
        """
        if self._running[key_id] >= self._most:
            raise TooManyConcurrentQueries(limit=self._most, value=self._running[key_id] + 1)
        self._running[key_id] += 1
        try:
            yield
        finally:
            self._running[key_id] -= 1
            if not self._running[key_id]:
                del self._running[key_id]


class HoldUntilSent(Response):
    """A response, and what lasts until its last byte was sent or could not be.

    A large answer is in memory, or holds a connection to the store, for as long as its reader
    takes: that is when a query has ended.
    """

    def __init__(self, response: Response, lasting: AsyncExitStack) -> None:
        super().__init__()
        self._response, self._lasting = response, lasting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        async with self._lasting:
            await self._response(scope, receive, send)
