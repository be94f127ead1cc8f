"""Admission control: bound the memory and connections that concurrent requests hold.

Slow readers pin connections and memory. Each is capped, and each organization is capped below the
total, so that one organization cannot starve the others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.errors import ChargebackError, ServiceBusy
from app.timeouts import ADMISSION_SECONDS


class TenantCapacity:
    """A weighted semaphore that bounds what all organizations, and each of them, hold.

    Args:
        limit: The total capacity, in any unit.
        timeout_seconds: How long a request waits for its share.
        tenant_limit: The capacity of one organization; by default three quarters of `limit`.
        timeout_error: Creates the error for a request that waited too long.
    """

    def __init__(
        self,
        limit: int,
        timeout_seconds: float = ADMISSION_SECONDS,
        *,
        tenant_limit: int | None = None,
        timeout_error: Callable[[], ChargebackError] = ServiceBusy,
    ) -> None:
        default_tenant_limit = max(1, limit - max(1, limit // 4))
        self._limit = limit
        self._tenant_limit = default_tenant_limit if tenant_limit is None else tenant_limit
        self._timeout_seconds, self._timeout_error = timeout_seconds, timeout_error
        self._held: Counter[UUID] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def acquire(self, organization_id: UUID, amount: int = 1) -> AsyncIterator[None]:
        """Hold an amount for the length of a block; amounts above the tenant limit are capped.

        Raises:
            ChargebackError: The timeout error; the amount did not become free in time.
        """
        async with self.hold(organization_id) as held:
            await held.grow(amount)
            yield

    @asynccontextmanager
    async def hold(self, organization_id: UUID) -> AsyncIterator["Holding"]:
        """Hold what the block acquires with `grow`, until its end."""
        held = Holding(self, organization_id)
        try:
            yield held
        finally:
            async with self._changed:
                self._held[organization_id] -= held.amount
                self._held += Counter()  # Drop organizations that hold nothing.
                self._changed.notify_all()

    async def take(self, organization_id: UUID, amount: int) -> None:
        """Wait until an amount is free, and take it. `hold` gives it back."""

        def is_free() -> bool:
            tenant_total = self._held[organization_id] + amount
            return (
                tenant_total <= self._tenant_limit and self._held.total() + amount <= self._limit
            )

        async with self._changed:
            if not is_free():
                try:
                    async with asyncio.timeout(self._timeout_seconds):
                        await self._changed.wait_for(is_free)
                except TimeoutError:
                    raise self._timeout_error() from None
            self._held[organization_id] += amount

    @property
    def tenant_limit(self) -> int:
        """The capacity of one organization."""
        return self._tenant_limit


class Holding:
    """What a block holds of a capacity; `amount` never exceeds the tenant limit."""

    def __init__(self, capacity: TenantCapacity, organization_id: UUID) -> None:
        self._capacity, self._organization_id = capacity, organization_id
        self.amount = 0

    async def grow(self, amount: int) -> None:
        """Hold more.

        Raises:
            ChargebackError: The timeout error; the amount did not become free in time.
        """
        amount = min(amount, self._capacity.tenant_limit - self.amount)
        await self._capacity.take(self._organization_id, amount)
        self.amount += amount
