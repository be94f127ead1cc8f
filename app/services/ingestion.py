"""The feed's commands: a batch of events is stored whole, or not at all."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.feed import add_refusal, select_feed_days, select_feed_sources
from app.db.organizations import set_lock_timeout
from app.domain.errors import (
    EventProblem,
    IngestQueueFull,
    InvalidArgument,
    InvalidBatch,
    StoreUnavailable,
)
from app.domain.events import MOST_PROBLEMS, AnyEvent, decode_body, decode_lines
from app.ingest.store import IngestResult, store_events
from app.services.retention import AnalyzeTrigger, AnalyzeTriggerWithin

CHUNK = 5_000
"""Events that are worked on at once; a larger batch takes no more memory."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch that waits for its turn, and whoever waits for the batch."""

    events: Sequence[AnyEvent]
    now: datetime
    outcome: "asyncio.Future[IngestResult]"
    context: Context
    """In which it is stored, so that statements are noted for whoever sent it."""


class IngestRequest(NamedTuple):
    """A body of events, as it came for an organization; `media_type` is one of `MEDIA_TYPES`."""

    organization_id: UUID
    media_type: str
    body: bytes
    arrived_at: datetime


class Ingestor(Protocol):
    """What takes deliveries: an `GroupCommitIngestor`, or the process that has one."""

    @property
    def is_up(self) -> bool:
        """Whether it takes deliveries at the moment, whatever the store does."""

    @property
    def restarts(self) -> int:
        """How often it had to be started anew."""

    async def take(self, delivery: IngestRequest) -> IngestResult:
        """Store a delivery's events, whole or not at all; answered after the commit.

        Raises:
            InvalidBatch: What is wrong with which event.
            IngestQueueFull: Too many events are waiting already.
            StoreUnavailable: The store cannot be reached; the batch may be sent again.
        """


class GroupCommitIngestor:
    """Stores batches; those that arrive while one is being stored go in together, next.

    So a commit is shared by as many small batches as come during the one before, and a large one
    waits for nobody. Each batch is answered for itself, after the commit.
    """

    is_up, restarts = True, 0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, deque[_Waiting]] = defaultdict(deque)
        self._workers: dict[UUID, asyncio.Task[None]] = {}
        self._events = 0
        self._growth = AnalyzeTrigger(database)

    async def take(self, delivery: IngestRequest) -> IngestResult:
        """As `Ingestor` says."""
        organization_id, media_type, body, now = delivery
        try:
            events = await _decoded(media_type, body, now)
        except InvalidBatch as refusal:
            await note_refusal(self._database, organization_id, refusal.event_count, now)
            raise
        return await self.accept(organization_id, events, now)

    async def accept(
        self, organization_id: UUID, events: Sequence[AnyEvent], now: datetime
    ) -> IngestResult:
        """Store a batch, whole or not at all.

        Raises:
            IngestQueueFull: Too many events are waiting already.
            StoreUnavailable: The store cannot be reached; the batch may be sent again.
        """
        if self._events > _MOST_WAITING:
            raise IngestQueueFull
        outcome: asyncio.Future[IngestResult] = asyncio.get_running_loop().create_future()
        self._events += len(events)
        self._waiting[organization_id].append(_Waiting(events, now, outcome, copy_context()))
        if organization_id not in self._workers:
            # It works for many: nothing is noted for the one whose batch begins it.
            worker = asyncio.create_task(self._work(organization_id), context=Context())
            self._workers[organization_id] = worker
        return await outcome

    async def _work(self, organization_id: UUID) -> None:
        queue = self._waiting[organization_id]
        try:
            while queue:
                together = list(_some(queue))
                try:
                    stored = await self._stored(organization_id, together)
                finally:
                    self._events -= sum(len(batch.events) for batch in together)
                await self._growth.stored(stored)
        finally:
            del self._workers[organization_id]

    async def _stored(self, organization_id: UUID, together: Sequence[_Waiting]) -> int:
        """How many events were; the statements of a shared commit are its first batch's."""
        storing = self._store(organization_id, together)
        return await asyncio.create_task(storing, context=together[0].context)

    async def _store(self, organization_id: UUID, together: Sequence[_Waiting]) -> int:
        events = [event for batch in together for event in batch.events]
        try:
            async with self._database.transaction(organization_id) as tx:
                await set_lock_timeout(tx)
                stored = await store_events(tx, organization_id, events, together[-1].now)
        except Exception as error:
            return await self._store_apart(organization_id, together, error)
        outcomes = iter(stored)
        for batch in together:
            accepted = IngestResult.of(list(islice(outcomes, len(batch.events))))
            if not batch.outcome.done():
                batch.outcome.set_result(accepted)
        return sum(stored)

    async def _store_apart(
        self, organization_id: UUID, together: Sequence[_Waiting], error: Exception
    ) -> int:
        """What one batch cannot have must not be refused to the others."""
        if len(together) > 1 and not isinstance(error, StoreUnavailable):
            return sum([await self._stored(organization_id, [batch]) for batch in together])
        # Whoever waits behind them need not find out for themselves, one after the other.
        behind = self._waiting[organization_id] if isinstance(error, StoreUnavailable) else deque()
        self._events -= sum(len(batch.events) for batch in behind)
        for batch in [*together, *behind]:
            if not batch.outcome.done():
                batch.outcome.set_exception(error)
        behind.clear()
        return 0


def _some(queue: deque[_Waiting]) -> Iterator[_Waiting]:
    """Batches from the front of the queue: one at least, and no more than a chunk of events."""
    count = 0
    while queue and (count == 0 or count + len(queue[0].events) <= CHUNK):
        batch = queue.popleft()
        count += len(batch.events)
        yield batch


_MOST_WAITING = 100_000


async def _decoded(media_type: str, body: bytes, now: datetime) -> list[AnyEvent]:
    """Decoding a large body holds the interpreter, but not the event loop's turn."""
    if len(body) < _LARGE_BODY:
        return decode_body(media_type, body, now=now)
    return await asyncio.to_thread(decode_body, media_type, body, now=now)


_LARGE_BODY = 65_536


async def accept_lines(
    database: Database, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> IngestResult:
    """Store a stream of lines (NDJSON) in one transaction, chunk by chunk.

    Blank lines count as lines and hold nothing.

    Raises:
        InvalidBatch: With the bad lines, counted from 0; nothing was stored.
    """
    counted = _Counted(chunks)
    try:
        async with database.transaction(organization_id) as tx:
            accepted = await store_lines(tx, organization_id, counted, now)
    except InvalidBatch:
        await note_refusal(database, organization_id, counted.lines, now)
        raise
    await AnalyzeTrigger(database).stored(accepted.accepted)
    return accepted


class _Counted:
    """Chunks of lines, counted as they are read; blank lines hold nothing."""

    def __init__(self, chunks: Iterable[Sequence[bytes]]) -> None:
        self._chunks = chunks
        self.lines = 0

    def __iter__(self) -> Iterator[Sequence[bytes]]:
        for lines in self._chunks:
            self.lines += sum(1 for line in lines if line.strip())
            yield lines


async def note_refusal(
    database: Database, organization_id: UUID, event_count: int, now: datetime
) -> None:
    """Count a refused batch; the refusal stands whether or not it can be counted."""
    with suppress(StoreUnavailable):
        async with database.transaction(organization_id) as tx:
            await add_refusal(tx, organization_id, event_count, now)


class FeedActivity(NamedTuple):
    """What the feed did: rows by source, and of the latest days, the latest first."""

    sources: Sequence[Any]
    days: Sequence[Any]


async def feed_activity(
    database: Database, organization_id: UUID, *, days: int = 31
) -> FeedActivity:
    """What each source has sent, and what became of what arrived on each of the latest days.

    Raises:
        InvalidArgument: Not from 1 to 400 days are asked for.
    """
    if not 1 <= days <= MOST_DAYS:
        raise InvalidArgument(f"days: must be from 1 to {MOST_DAYS}; got {days}.")
    async with database.transaction(organization_id) as tx:
        return FeedActivity(
            await select_feed_sources(tx, organization_id),
            await select_feed_days(tx, organization_id, days),
        )


MOST_DAYS = 400


async def store_lines(
    tx: Transaction, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> IngestResult:
    """The same within the caller's transaction, which must not be committed after a refusal."""
    problems: list[EventProblem] = []
    total = IngestResult()
    growth = AnalyzeTriggerWithin(tx, organization_id)
    index = 0
    for lines in chunks:
        try:
            events = decode_lines(lines, now=now, first_index=index)
        except InvalidBatch as refusal:
            problems += refusal.problems
        else:
            # After a bad line the rest is only read for more of them.
            if events and not problems:
                stored = await store_events(tx, organization_id, events, now)
                await growth.stored(sum(stored))
                total += IngestResult.of(stored)
        index += len(lines)
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise InvalidBatch(problems[:MOST_PROBLEMS])
    return total
