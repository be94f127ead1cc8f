"""Batched look-up of API keys: concurrent requests of an organization share a statement."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Context, copy_context
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database
from app.db.keys import KeyHolderRow, select_key_holders
from app.domain.errors import ServiceBusy
from app.timeouts import KEY_LOOKUP_SECONDS

_MAX_CONCURRENT_LOOKUPS = 2
_MAX_REMEMBERED_KEYS = 10_000


class PendingLookup(NamedTuple):
    """A key that is to be looked up, and the context of the request that needs it."""

    key_id: str
    holder: "asyncio.Future[KeyHolderRow | None]"
    context: Context


class KeyLoader:
    """Looks up API keys; keys requested while enough look-ups are running go together in the next.

    No holder is cached: each look-up starts after the requests that it answers, so a revoked key
    is rejected from the next request on. Yet a hundred concurrent requests of an organization cost
    a few statements. Only the organization of a key is remembered, because it never changes: the
    statement then reads the node of that organization alone.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._pending: dict[UUID | None, list[PendingLookup]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._organizations: OrderedDict[str, UUID] = OrderedDict()

    async def find(self, key_id: str) -> KeyHolderRow | None:
        """Return the holder of a key; None if there is no such key.

        Raises:
            ServiceBusy: The look-up took too long.
            StoreUnavailable: The database cannot be reached.
        """
        holder: asyncio.Future[KeyHolderRow | None] = asyncio.get_running_loop().create_future()
        batch = self._pending.setdefault(self._organizations.get(key_id), [])
        batch.append(PendingLookup(key_id, holder, copy_context()))
        self._start_lookup()
        try:
            async with asyncio.timeout(KEY_LOOKUP_SECONDS):
                return await holder
        except TimeoutError:
            raise ServiceBusy from None

    def _start_lookup(self) -> None:
        """Start the look-up of the organization that has waited longest."""
        while self._pending and len(self._running) < _MAX_CONCURRENT_LOOKUPS:
            organization_id = next(iter(self._pending))
            waiting = self._pending.pop(organization_id)
            batch = [pending for pending in waiting if not pending.holder.done()]
            if not batch:
                continue
            # The statement is recorded for the first request of the batch.
            lookup = asyncio.create_task(
                self._look_up(organization_id, batch), context=batch[0].context
            )
            self._running.add(lookup)
            lookup.add_done_callback(self._finish_lookup)

    def _finish_lookup(self, lookup: "asyncio.Task[None]") -> None:
        self._running.discard(lookup)
        self._start_lookup()

    async def _look_up(self, organization_id: UUID | None, batch: Sequence[PendingLookup]) -> None:
        key_ids = list({pending.key_id for pending in batch})
        try:
            holders = await self._fetch_holders(organization_id, key_ids)
        except Exception as error:
            for pending in batch:
                if not pending.holder.done():
                    pending.holder.set_exception(error)
            return
        for pending in batch:
            if not pending.holder.done():
                pending.holder.set_result(holders.get(pending.key_id))

    async def _fetch_holders(
        self, organization_id: UUID | None, key_ids: Sequence[str]
    ) -> dict[str, KeyHolderRow]:
        """Fetch the holders of keys of one organization; None is for keys not seen before."""
        statement = select_key_holders(one_organization=organization_id is not None)
        parameters = {"key_ids": key_ids, "organization_id": organization_id}
        rows = await self.database.fetch_for_sign_in(statement, parameters)
        holders = {holder.key_id: holder for holder in (KeyHolderRow(*row) for row in rows)}
        for key_id in key_ids:
            self._remember(key_id, holders.get(key_id))
        return holders

    def _remember(self, key_id: str, holder: KeyHolderRow | None) -> None:
        if holder is None:
            self._organizations.pop(key_id, None)
            return
        self._organizations[key_id] = holder.organization_id
        self._organizations.move_to_end(key_id)
        if len(self._organizations) > _MAX_REMEMBERED_KEYS:
            self._organizations.popitem(last=False)
