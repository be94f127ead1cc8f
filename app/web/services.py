"""What the routes work with, made once when the application is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import HTTPConnection

from app.db.engine import Database
from app.domain.errors import FeedBusy
from app.settings import Settings
from app.web.closed import ClosedDocuments
from app.web.guesses import Guesses
from app.web.metrics import Metrics
from app.web.queries import RunningQueries
from app.web.shares import Shares
from resolvers.audit import AuditTrail
from resolvers.context import Clock
from resolvers.feed import Taking
from resolvers.keys import KeyHolders


class BodyBudget:
    """How many bytes of bodies are in memory at a time; later senders are not read from yet.

    Args:
        most_bytes: All that may be in memory, of all requests together.
        patience_seconds: How long a request waits for its part of it.
    """

    def __init__(self, most_bytes: int, patience_seconds: float = 15) -> None:
        self._free = self._most = most_bytes
        self._patience_seconds = patience_seconds
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, count: int) -> AsyncIterator[None]:
        """Hold a part of the budget for the length of a block.

        Raises:
            FeedBusy: No such part was free in time.
        """
        count = min(count, self._most)
        async with self._changed:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._changed.wait_for(lambda: self._free >= count)
            except TimeoutError:
                raise FeedBusy from None
            self._free -= count
        try:
            yield
        finally:
            async with self._changed:
                self._free += count
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Services:
    """The application's settings, its store, its clock, and the way of events into the store.

    `downloads` are documents that hold a connection while they are sent; `answers` the bytes of
    large answers that are in memory.
    """

    settings: Settings
    database: Database
    clock: Clock
    intake: Taking
    key_holders: KeyHolders
    bodies: BodyBudget
    closed_documents: ClosedDocuments
    audit: AuditTrail
    guesses: Guesses
    queries: RunningQueries
    downloads: Shares
    answers: Shares
    metrics: Metrics

    @property
    def now(self) -> datetime:
        """The clock, read once per request at its edge."""
        return self.clock()


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request came to."""
    return cast("Services", connection.app.state.services)
