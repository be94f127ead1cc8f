"""What requests hold while they last, shared so that there is an end to it.

A reader may be slow, or mean to be. The connections and the memory that its answers hold meanwhile
are missed by all others: so there is so much of each for large answers, of which no organization
has all. The memory for bodies one may have whole: whoever sends more is not read from yet.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.errors import ChargebackError, ServiceBusy

_PATIENCE_SECONDS = 4.0


class TenantCapacity:
    """Something of which there is so much, of whatever unit.

    Args:
        most: All of it.
        patience_seconds: How long a request waits for its share.
        most_of_one: What one organization has at the most; by itself a quarter less than all.
        refusal: What a request is told that waited for too long.
    """

    def __init__(
        self,
        most: int,
        patience_seconds: float = _PATIENCE_SECONDS,
        *,
        most_of_one: int | None = None,
        refusal: Callable[[], ChargebackError] = ServiceBusy,
    ) -> None:
        less = max(1, most - max(1, most // 4))
        self._most, self._most_of_one = most, less if most_of_one is None else most_of_one
        self._patience_seconds, self._refusal = patience_seconds, refusal
        self._taken: Counter[UUID] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, organization_id: UUID, count: int = 1) -> AsyncIterator[None]:
        """Hold a share for the length of a block; what is more than all of one is all of one.

        Raises:
            ChargebackError: The refusal: it was not to be had in time.
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
            raise self._refusal() from None
