"""What answers hold until they have been read, shared so that no organization has all of it.

A reader may be slow, or mean to be. The connections and the memory that its answers hold meanwhile
are missed by all others: so there is so much of each for large answers, and no more.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.errors import ServiceBusy

_PATIENCE_SECONDS = 4.0


class Shares:
    """Something of which there is so much, of whatever unit.

    Args:
        most: All of it. One organization has a quarter less at the most.
        patience_seconds: How long a request waits for its share.
    """

    def __init__(self, most: int, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._most, self._most_of_one = most, max(1, most - max(1, most // 4))
        self._patience_seconds = patience_seconds
        self._taken: Counter[UUID] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, organization_id: UUID, count: int = 1) -> AsyncIterator[None]:
        """Hold a share for the length of a block; what is more than all of one is all of one.

        Raises:
            ServiceBusy: It was not to be had in time.
        """
        count = min(count, self._most_of_one)
        async with self._changed:
            await self._wait(organization_id, count)
            self._taken[organization_id] += count
        try:
            yield
        finally:
            async with self._changed:
                self._taken[organization_id] -= count
                self._taken += Counter()  # Whoever has none is forgotten.
                self._changed.notify_all()

    async def _wait(self, organization_id: UUID, count: int) -> None:
        def is_free() -> bool:
            of_one = self._taken[organization_id] + count
            return of_one <= self._most_of_one and self._taken.total() + count <= self._most

        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._changed.wait_for(is_free)
        except TimeoutError:
            raise ServiceBusy from None
