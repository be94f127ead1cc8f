"""Storing a batch: facts in, then everything that follows from them, in one transaction.

Each thing that the batch says something new about is worked out again from all that is known of
it, without the batch and with it, and the difference is written. Nothing depends on what arrived
first: two orders of arrival write other differences with the same sum.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import compress
from typing import Any, Self
from uuid import UUID

from app.db.engine import Transaction
from app.db.events import EventColumns, insert_events, plan_by_index, select_known
from app.db.feed import SourceCount, add_counts
from app.db.month_closes import add_corrections
from app.db.months import carry_forward
from app.db.organizations import lock_organization, update_span
from app.domain.events import (
    TYPES,
    AnyEvent,
    UsageRecordedEvent,
    encode_facts,
)
from app.domain.months import Month
from app.ingest.accounts import store_accounts
from app.ingest.batch import Batch, NewEvents
from app.ingest.corrections import CorrectionLedger
from app.ingest.directory import store_directory
from app.ingest.experiments import experiments_of, store_experiments
from app.ingest.subjects import parent_of
from app.ingest.usage import store_users

CHUNK_SIZE = 5_000
"""Events that are stored at once; it bounds the memory that a large import takes."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a batch: events that were stored, and events that were there already."""

    accepted: int = 0
    duplicates: int = 0

    @classmethod
    def count(cls, is_new: Sequence[bool]) -> Self:
        """Count a batch from one flag per event: whether it is new."""
        accepted = sum(is_new)
        return cls(accepted, len(is_new) - accepted)

    def __add__(self, other: "IngestResult") -> "IngestResult":
        return IngestResult(self.accepted + other.accepted, self.duplicates + other.duplicates)


async def store_events(
    tx: Transaction, organization_id: UUID, events: Sequence[AnyEvent], now: datetime
) -> Sequence[bool]:
    """Store a batch within the caller's transaction; batches of an organization queue up.

    Args:
        tx: The transaction, the caller's to commit.
        organization_id: Whose events they are.
        events: Checked events, in any order, duplicates among them.
        now: When they arrived.

    Returns:
        Of each event whether it was stored; the others are duplicates.
    """
    if not events:
        return ()
    organization = await lock_organization(tx, organization_id)
    await plan_by_index(tx)
    uids = [event.uid for event in events]
    stored = _met_first(uids, await select_known(tx, organization_id, uids))
    if any(stored):
        fresh = NewEvents(dict(zip(compress(uids, stored), compress(events, stored), strict=True)))
        await _store(tx, organization, fresh, now)
    await add_counts(tx, organization_id, _counts(events, stored), now)
    return stored


def _met_first(uids: Iterable[UUID], known: set[UUID]) -> list[bool]:
    """Of each uid whether it is neither known nor came before."""
    unmet = dict.fromkeys(uids, True) | dict.fromkeys(known, False)
    return [unmet.pop(uid, False) for uid in uids]


def _counts(events: Sequence[AnyEvent], stored: Sequence[bool]) -> list[SourceCount]:
    sources = [event.source for event in events]
    accepted = Counter(compress(sources, stored))
    latest: dict[str, datetime] = {}
    for event in events:
        if event.source not in latest or event.time > latest[event.source]:
            latest[event.source] = event.time
    return [
        SourceCount(source, accepted[source], count - accepted[source], latest[source])
        for source, count in Counter(sources).items()
    ]


async def _store(tx: Transaction, organization: Any, fresh: NewEvents, now: datetime) -> None:
    batch = await _open_months(tx, organization, fresh)
    experiments = await experiments_of(batch)
    data = encode_facts([event.data for event in fresh.by_uid.values()])
    await insert_events(tx, batch.organization_id, _columns(fresh), data, now)
    ended_projects = await store_directory(batch)
    await store_accounts(batch)
    await store_users(batch, await store_experiments(batch, experiments, ended_projects))
    if late := list(batch.late.rows()):
        await add_corrections(tx, batch.organization_id, batch.months[0].first_day, late)
    await update_span(
        tx,
        batch.organization_id,
        first_month=batch.months[0].first_day,
        last_month=batch.last.first_day,
        first_event_at=fresh.earliest_at,
        latest_event_at=fresh.latest_at,
        ui_measured_from=_measured_from(batch, "ui"),
        sdk_measured_from=_measured_from(batch, "sdk"),
        changed_at=now,
    )


async def _open_months(tx: Transaction, organization: Any, fresh: NewEvents) -> Batch:
    """Give the open months up to the batch's latest the rows that follow from those before."""
    begin, end = Month.containing(fresh.earliest_at), Month.containing(fresh.latest_at)
    known = _month_of(organization.first_month)
    known_before = _month_of(organization.first_event_at)
    closed_through = _month_of(organization.closed_through)
    earliest = min([begin, *known_before])
    first_open = closed_through[0].plus(1) if closed_through else min([begin, *known])
    first, last = max(begin, first_open), max(end, first_open)
    first_before: Month | None = None
    if known:
        last_before = Month.containing(organization.last_month)
        if opened := list(last_before.plus(1).through(last)):
            await carry_forward(tx, organization.organization_id, last_before, opened)
        first_before = max(known[0], first_open)
        first, last = min(first, first_before), max(last, last_before)
    return Batch(
        tx=tx,
        organization_id=organization.organization_id,
        fresh=fresh,
        closed=list(earliest.through(first_open.plus(-1))),
        months=list(first.through(last)),
        first_before=first_before,
        known_before=known_before[0] if known_before else None,
        late=CorrectionLedger(since=organization.hand_over),
    )


def _month_of(day: date | None) -> list[Month]:
    return [] if day is None else [Month.containing(day)]


def _measured_from(batch: Batch, channel: str) -> datetime | None:
    used = (event.time for event in batch.of(UsageRecordedEvent) if event.data.channel == channel)
    return min(used, default=None)


def _columns(fresh: NewEvents) -> EventColumns:
    events = list(fresh.by_uid.values())
    return EventColumns(
        uid=list(fresh.by_uid),
        type=[TYPES[type(event)] for event in events],
        occurred_at=[event.time for event in events],
        subject_id=fresh.subject_ids,
        parent_id=[parent_of(event) for event in events],
        source=[event.source for event in events],
        id=[event.id for event in events],
    )
