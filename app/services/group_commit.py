"""Group commit: batches of events that arrive together are stored in one transaction."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database
from app.db.feed import count_refused_batch
from app.db.organizations import set_batch_timeouts
from app.domain.errors import IngestQueueFull, InvalidBatch, StoreUnavailable
from app.domain.event_decoding import decode_body
from app.domain.events import EARLIEST, AnyEvent
from app.domain.role_guard import RoleGuard
from app.ingest.store import CHUNK_SIZE, IngestResult, store_events
from app.services.analyze_trigger import AnalyzeTrigger

_MAX_QUEUED_EVENTS = 100_000
"""Of one organization."""
_LARGE_BODY_BYTES = 65_536
_PAUSE_SECONDS = 0.001
_MAX_PAUSES, _MAX_QUIET_PAUSES = 30, 6
"""How often senders are waited for in all, and while none of them sends."""


class IngestRequest(NamedTuple):
    """The body of a request that sends events; `media_type` is one of `MEDIA_TYPES`."""

    organization_id: UUID
    media_type: str
    body: bytes
    arrived_at: datetime
    not_before: datetime = EARLIEST
    """The earliest time that an event may have."""
    role_guard: RoleGuard | None = None
    """Finds events that the sender may not send; None if roles may be changed."""


@dataclass(frozen=True, slots=True)
class _QueuedBatch:
    """A batch that waits for its turn, and the future that its sender awaits."""

    events: Sequence[AnyEvent]
    arrived_at: datetime
    result: "asyncio.Future[IngestResult]"
    context: Context
    """The sender's context: statements that run in it are recorded for the sender's request."""

    def resolve(self, result: IngestResult) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class GroupCommitIngestor:
    """Stores the batches that arrive during one commit together in the next.

    Small batches therefore share a commit, while a batch that arrives alone is stored at once.
    Each sender gets the result of its own batch, after the commit. A commit of several batches is
    followed by a pause of some milliseconds, in which their senders send again.

    Args:
        database: The store.
        max_rows: How many month rows a batch may write; None is for trusted senders.
    """

    is_up, restarts = True, 0

    def __init__(self, database: Database, max_rows: int | None = None) -> None:
        self._database, self._max_rows = database, max_rows
        self._queues: dict[UUID, deque[_QueuedBatch]] = defaultdict(deque)
        self._workers: dict[UUID, asyncio.Task[None]] = {}
        self._queued_events: Counter[UUID] = Counter()
        self._analyze = AnalyzeTrigger(database)

    async def ingest(self, request: IngestRequest) -> IngestResult:
        """Store all events of a request or none; see `Ingestor`."""
        organization_id, now = request.organization_id, request.arrived_at
        try:
            events = await _decode(request)
        except InvalidBatch as error:
            await record_rejected_batch(self._database, organization_id, error.event_count, now)
            raise
        return await self.submit(organization_id, events, now)

    async def submit(
        self, organization_id: UUID, events: Sequence[AnyEvent], now: datetime
    ) -> IngestResult:
        """Queue decoded events and wait until all of them are stored.

        Raises:
            IngestQueueFull: The organization has too many events in the queue already.
            StoreUnavailable: The database cannot be reached. Sending the batch again is safe.
        """
        self._database.require_free_space()
        if self._queued_events[organization_id] > _MAX_QUEUED_EVENTS:
            raise IngestQueueFull
        result: asyncio.Future[IngestResult] = asyncio.get_running_loop().create_future()
        self._queued_events[organization_id] += len(events)
        self._queues[organization_id].append(_QueuedBatch(events, now, result, copy_context()))
        if organization_id not in self._workers:
            # The worker serves many senders, so it must not inherit the context of this one.
            worker = asyncio.create_task(self._work(organization_id), context=Context())
            self._workers[organization_id] = worker
        return await result

    async def _work(self, organization_id: UUID) -> None:
        """Store the organization's queued batches until there are none."""
        queue = self._queues[organization_id]
        try:
            while queue:
                group = list(_dequeue_group(queue))
                try:
                    stored = await self._store_in_context(organization_id, group)
                finally:
                    self._queued_events[organization_id] -= _count_events(group)
                await self._analyze.record_events(stored)
                await _wait_for_senders(queue, len(group) + len(queue))
        finally:
            del self._workers[organization_id]
            if not queue:
                del self._queues[organization_id]
            self._queued_events += Counter()  # Drop organizations without queued events.

    async def _store_in_context(self, organization_id: UUID, group: Sequence[_QueuedBatch]) -> int:
        """Store a group, recording its statements for the request of its first batch."""
        storing = self._store(organization_id, group)
        return await asyncio.create_task(storing, context=group[0].context)

    async def _store(self, organization_id: UUID, group: Sequence[_QueuedBatch]) -> int:
        """Store a group in one transaction and return how many events were new."""
        events = [event for batch in group for event in batch.events]
        try:
            async with self._database.transaction(organization_id) as tx:
                await set_batch_timeouts(tx)
                is_new = await store_events(
                    tx, organization_id, events, group[-1].arrived_at, max_rows=self._max_rows
                )
        except Exception as error:
            return await self._handle_failure(organization_id, group, error)
        remaining = iter(is_new)
        for batch in group:
            batch.resolve(IngestResult.count(list(islice(remaining, len(batch.events)))))
        return sum(is_new)

    async def _handle_failure(
        self, organization_id: UUID, group: Sequence[_QueuedBatch], error: Exception
    ) -> int:
        """Store the batches of a failed group one by one, so that one cannot fail the others."""
        if len(group) > 1 and not isinstance(error, StoreUnavailable):
            return sum([await self._store_in_context(organization_id, [batch]) for batch in group])
        for batch in group:
            batch.fail(error)
        if isinstance(error, StoreUnavailable):
            self._fail_queued(organization_id, error)
        return 0

    def _fail_queued(self, organization_id: UUID, error: StoreUnavailable) -> None:
        """Fail the queued batches too, instead of letting each of them time out in turn."""
        queue = self._queues[organization_id]
        self._queued_events[organization_id] -= _count_events(queue)
        for batch in queue:
            batch.fail(error)
        queue.clear()


def _count_events(batches: Iterable[_QueuedBatch]) -> int:
    return sum(len(batch.events) for batch in batches)


def _dequeue_group(queue: deque[_QueuedBatch]) -> Iterator[_QueuedBatch]:
    """Yield batches from the front: at least one, and otherwise up to `CHUNK_SIZE` events."""
    count = 0
    while queue and (count == 0 or count + len(queue[0].events) <= CHUNK_SIZE):
        batch = queue.popleft()
        count += len(batch.events)
        yield batch


async def _wait_for_senders(queue: deque[_QueuedBatch], count: int) -> None:
    """Wait until `count` batches are queued, the group is full, or no more arrive.

    Without the pause, the first sender to come back would get a transaction of its own, which
    costs as much as one of thirty batches, and all others would wait for it.
    """
    quiet_pauses = 0
    for _ in range(_MAX_PAUSES if count > 1 else 0):
        queued = len(queue)
        if queued >= count or quiet_pauses == _MAX_QUIET_PAUSES:
            return
        if _count_events(queue) >= CHUNK_SIZE:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
        quiet_pauses = 0 if len(queue) > queued else quiet_pauses + 1


async def _decode(request: IngestRequest) -> list[AnyEvent]:
    """Decode a body, in a thread if it is large, so that the event loop keeps its turns."""
    decode = partial(
        decode_body,
        request.media_type,
        request.body,
        now=request.arrived_at,
        not_before=request.not_before,
        role_guard=request.role_guard,
    )
    if len(request.body) < _LARGE_BODY_BYTES:
        return decode()
    return await asyncio.to_thread(decode)


async def record_rejected_batch(
    database: Database, organization_id: UUID, event_count: int, now: datetime
) -> None:
    """Count a rejected batch, unless the database is down: the rejection stands either way."""
    with suppress(StoreUnavailable):
        async with database.transaction(organization_id) as tx:
            await count_refused_batch(tx, organization_id, event_count, now)
