"""The audit log: append events within a transaction or in the background, and export the log."""

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from app import __version__
from app.db.audit import AuditFilter, insert_entries, stream_entries
from app.db.engine import Database, Transaction
from app.domain.audit import OK, Action, Actor, AuditEntry, AuditEvent, Interface, to_audit_entry
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ServiceBusy, StoreUnavailable
from app.domain.ids import organization_id
from app.settings import Settings

_log = logging.getLogger("chargeback")

_WRITE_DELAY_SECONDS = 0.2
_RETRY_DELAY_SECONDS = 1
_MAX_ENTRIES_PER_WRITE = 1_000
_MAX_QUEUED_ENTRIES = 100_000


async def append_audit_event(
    tx: Transaction, actor: Actor, event: AuditEvent, now: datetime, *, outcome: str = OK
) -> None:
    """Append an event within the transaction that it describes: both are stored, or neither."""
    await insert_entries(tx, event.organization_id, [to_audit_entry(event, actor, now, outcome)])


class AuditTrail:
    """Records events that have no transaction of their own, such as reads and denied requests.

    Entries are queued for a fifth of a second and inserted together, after the response, so that
    a read costs no statement. A clean stop (`close`) and a database outage lose none of them;
    `kill -9` loses those in the queue.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[tuple[UUID, AuditEntry]] = deque()
        self._write_lock = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def record(
        self, events: Iterable[AuditEvent], actor: Actor, now: datetime, *, outcome: str = OK
    ) -> None:
        """Queue events to be written soon."""
        for event in events:
            entry = to_audit_entry(event, actor, now, outcome)
            self._queue.append((event.organization_id, entry))
        while len(self._queue) > _MAX_QUEUED_ENTRIES:
            _log_lost_entry(*self._queue.popleft())
        if self._queue and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write_queue())

    async def _write_queue(self) -> None:
        delay: float = _WRITE_DELAY_SECONDS
        while self._queue:
            await asyncio.sleep(delay)
            with suppress(StoreUnavailable):
                await self.flush()
            delay = _RETRY_DELAY_SECONDS

    async def flush(self) -> None:
        """Write all queued entries now.

        Raises:
            StoreUnavailable: The database cannot be reached; the entries stay in the queue.
        """
        async with self._write_lock:
            while self._queue:
                count = min(len(self._queue), _MAX_ENTRIES_PER_WRITE)
                entries = [self._queue.popleft() for _ in range(count)]
                try:
                    await self._insert(entries)
                except (StoreUnavailable, asyncio.CancelledError):
                    self._queue.extendleft(reversed(entries))
                    raise
                except Exception:
                    _log.exception("audit entries could not be stored")
                    for organization, entry in entries:
                        _log_lost_entry(organization, entry)

    async def _insert(self, entries: Sequence[tuple[UUID, AuditEntry]]) -> None:
        """Insert the entries of each organization; one that is busy does not hold up the others.

        Raises:
            StoreUnavailable: Some could not be stored. Inserting an entry again is safe.
        """
        failure: StoreUnavailable | None = None
        by_organization: dict[UUID, list[AuditEntry]] = defaultdict(list)
        for organization, entry in entries:
            by_organization[organization].append(entry)
        for organization, own_entries in by_organization.items():
            try:
                async with self._database.transaction(organization) as tx:
                    await insert_entries(tx, organization, own_entries)
            except ServiceBusy as error:
                failure = error
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Write all queued entries; if the database is down, write them to the service's log."""
        if self._writer is not None:
            self._writer.cancel()
        try:
            await self.flush()
        except StoreUnavailable:
            while self._queue:
                _log_lost_entry(*self._queue.popleft())


def _log_lost_entry(organization: UUID, entry: AuditEntry) -> None:
    _log.error("not in the audit log of %s: %s", organization, json.dumps(entry, default=str))


async def record_start(database: Database, settings: Settings, now: datetime) -> None:
    """Record in the default organization that the service started, and with which settings."""
    default_id = organization_id(DEFAULT_ORGANIZATION)
    event = AuditEvent(default_id, Action.SERVICE_STARTED, __version__, settings.redacted)
    async with database.transaction(default_id) as tx:
        await append_audit_event(tx, Actor(None, Interface.SERVICE), event, now)


async def export_audit_log(
    database: Database,
    organization: UUID,
    matching: AuditFilter,
    actor: Actor,
    now: datetime,
) -> AsyncGenerator[Any, None]:
    """Yield all matching entries of an organization, the earliest first.

    The export itself is recorded first, so its own entry comes last.
    """
    event = AuditEvent(organization, Action.AUDIT_EXPORTED, "")
    async with database.transaction(organization) as tx:
        await append_audit_event(tx, actor, event, now)
    async with database.transaction(organization) as tx:
        async for row in stream_entries(tx, organization, matching):
            yield row
