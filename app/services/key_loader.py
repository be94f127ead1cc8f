"""Batched look-up of API keys: concurrent requests share a statement."""

import asyncio
from collections.abc import Sequence
from contextvars import Context, copy_context
from types import SimpleNamespace
from typing import Any, NamedTuple

from app.db.engine import Database
from app.db.keys import select_keys_with_users
from app.db.statements import Statement
from app.domain.errors import ServiceBusy
from app.timeouts import KEY_LOOKUP_SECONDS

_MAX_CONCURRENT_LOOKUPS = 2


class PendingLookup(NamedTuple):
    """A key that is to be looked up, and the context of the request that needs it."""

    key_id: str
    holder: "asyncio.Future[Any]"
    context: Context


class KeyLoader:
    """Looks up API keys; keys requested while enough look-ups are running go together in the next.

    Nothing is cached: each look-up starts after the requests that it answers, so a revoked key is
    rejected from the next request on. Yet a hundred concurrent requests cost a few statements.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._pending: list[PendingLookup] = []
        self._running: set[asyncio.Task[None]] = set()

    async def find(self, key_id: str) -> Any:
        """Return a key and its user, with the columns as attributes; None if there is no such key.

        Raises:
            ServiceBusy: The look-up took too long.
            StoreUnavailable: The database cannot be reached.
        """
        holder: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append(PendingLookup(key_id, holder, copy_context()))
        self._start_lookup()
        try:
            async with asyncio.timeout(KEY_LOOKUP_SECONDS):
                return await holder
        except TimeoutError:
            raise ServiceBusy from None

    def _start_lookup(self) -> None:
        if len(self._running) >= _MAX_CONCURRENT_LOOKUPS:
            return
        batch = [pending for pending in self._pending if not pending.holder.done()]
        self._pending.clear()
        if not batch:
            return
        # The statement is recorded for the first request of the batch.
        lookup = asyncio.create_task(self._look_up(batch), context=batch[0].context)
        self._running.add(lookup)
        lookup.add_done_callback(self._finish_lookup)

    def _finish_lookup(self, lookup: "asyncio.Task[None]") -> None:
        self._running.discard(lookup)
        self._start_lookup()

    async def _look_up(self, batch: Sequence[PendingLookup]) -> None:
        key_ids = list({pending.key_id for pending in batch})
        try:
            rows = await fetch_holders(self.database, select_keys_with_users(), key_ids=key_ids)
        except Exception as error:
            for pending in batch:
                if not pending.holder.done():
                    pending.holder.set_exception(error)
            return
        holders = {row.key_id: row for row in rows}
        for pending in batch:
            if not pending.holder.done():
                pending.holder.set_result(holders.get(pending.key_id))


async def fetch_holders(
    database: Database, statement: Statement, **parameters: object
) -> Sequence[Any]:
    """Run a statement that selects key holders and return rows with the columns as attributes."""
    async with database.snapshot(None) as snapshot:
        rows = await snapshot.fetch_rows(statement, parameters)
    return [SimpleNamespace(**row) for row in rows]
