"""The audit log: written beside what it tells of, read by admins."""

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
from app.db.audit import EntriesMatching, insert_entries, select_entries, stream_entries
from app.db.engine import Database, Transaction
from app.domain.audit import OK, Action, Actor, AuditEntry, AuditEvent, Channel, to_audit_entry
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, StoreUnavailable
from app.domain.events import NUL
from app.domain.ids import organization_id
from app.settings import Settings
from resolvers.context import Context
from resolvers.levels import MAX_PAGE_SIZE

_log = logging.getLogger("chargeback")

_DELAY_SECONDS = 0.2
_RETRY_SECONDS = 1
_MOST_AT_ONCE = 1_000
_MOST_WAITING = 100_000


async def append(
    tx: Transaction, actor: Actor, act: AuditEvent, now: datetime, *, outcome: str = OK
) -> None:
    """Write of an act within its own transaction: both are stored, or neither."""
    await insert_entries(tx, act.organization_id, [to_audit_entry(act, actor, now, outcome)])


class AuditTrail:
    """Writes of what has no transaction of its own, reads and refusals, after their answer.

    Lines wait for a fifth of a second and go in together, so that a read costs no statement.
    None is lost by a clean stop (`close`), or while the store is away; a `kill -9` loses those
    that still wait.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[tuple[UUID, AuditEntry]] = deque()
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def record(
        self, acts: Iterable[AuditEvent], actor: Actor, now: datetime, *, outcome: str = OK
    ) -> None:
        """Note acts, to be written soon."""
        for act in acts:
            self._waiting.append((act.organization_id, to_audit_entry(act, actor, now, outcome)))
        while len(self._waiting) > _MOST_WAITING:
            _lose(*self._waiting.popleft())
        if self._waiting and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        delay: float = _DELAY_SECONDS
        while self._waiting:
            await asyncio.sleep(delay)
            with suppress(StoreUnavailable):
                await self.flush()
            delay = _RETRY_SECONDS

    async def flush(self) -> None:
        """Write all that waits.

        Raises:
            StoreUnavailable: The store cannot be reached; the lines wait on.
        """
        async with self._writing:
            while self._waiting:
                together = [
                    self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))
                ]
                try:
                    await self._write(together)
                except (StoreUnavailable, asyncio.CancelledError):
                    self._waiting.extendleft(reversed(together))
                    raise
                except Exception:
                    _log.exception("the audit log refuses these lines")
                    for organization, entry in together:
                        _lose(organization, entry)

    async def _write(self, together: Sequence[tuple[UUID, AuditEntry]]) -> None:
        by_organization: dict[UUID, list[AuditEntry]] = defaultdict(list)
        for organization, entry in together:
            by_organization[organization].append(entry)
        for organization, entries in by_organization.items():
            async with self._database.transaction(organization) as tx:
                await insert_entries(tx, organization, entries)

    async def close(self) -> None:
        """Write all that waits, or where the store is away put it into the service's log."""
        if self._writer is not None:
            self._writer.cancel()
        try:
            await self.flush()
        except StoreUnavailable:
            while self._waiting:
                _lose(*self._waiting.popleft())


def _lose(organization: UUID, entry: AuditEntry) -> None:
    _log.error("not in the audit log of %s: %s", organization, json.dumps(entry, default=str))


async def record_start(database: Database, settings: Settings, now: datetime) -> None:
    """Note that a service starts, with its settings, in the operators' organization."""
    own = organization_id(DEFAULT_ORGANIZATION)
    act = AuditEvent(own, Action.SERVICE_STARTED, __version__, settings.shown)
    async with database.transaction(own) as tx:
        await append(tx, Actor(None, Channel.SERVICE), act, now)


async def read_audit_log(
    context: Context,
    organization: str | None,
    matching: EntriesMatching,
    first: int,
    after: str | None,
) -> Sequence[Any]:
    """A page of an organization's log, the latest first; that it was read is in it too.

    Rows have the columns of `AuditEntry`.

    Raises:
        Forbidden: The organization is not the caller's.
        InvalidArgument: `first` is no page size, `after` no id, or a username has U+0000.
    """
    if not 0 <= first <= MAX_PAGE_SIZE:
        raise InvalidArgument(f"first: must be from 0 to {MAX_PAGE_SIZE}; got {first}.")
    chosen = context.caller.resolve_organization(organization)
    _check(matching)
    seen = None if after is None else _entry_id(after)
    context.audit_events.append(AuditEvent(chosen, Action.AUDIT_READ, after or ""))
    async with context.database.transaction(chosen) as tx:
        return await select_entries(tx, chosen, matching, first, seen)


def _entry_id(after: str) -> UUID:
    try:
        return UUID(after)
    except ValueError:
        raise InvalidArgument(
            f"after: must be the id of the last one seen; got {after[:80]!r}."
        ) from None


def _check(matching: EntriesMatching) -> None:
    if NUL in (matching.username or ""):
        raise InvalidArgument(f"username: must not contain U+0000; got {matching.username!r}.")


async def export_audit_log(
    database: Database,
    organization: UUID,
    matching: EntriesMatching,
    actor: Actor,
    now: datetime,
) -> AsyncGenerator[Any, None]:
    """All lines of an organization's log that match, the earliest first; the export's own last."""
    async with database.transaction(organization) as tx:
        await append(tx, actor, AuditEvent(organization, Action.AUDIT_EXPORTED, ""), now)
    async with database.transaction(organization) as tx:
        async for row in stream_entries(tx, organization, matching):
            yield row
