"""Store a batch: insert its events and update the month rows, in one transaction.

For every entity that the batch has new events about, the figures are computed twice from all
events about that entity: once without the batch and once with it. The difference is added to the
month rows. Because each state depends only on the *set* of events, batches may arrive in any
order: the differences vary, but their sum is always the same.

The steps of `store_events`:

1. Lock the organization, so that its batches are stored one after the other.
2. Drop duplicates. If no event is new, only the counts per source change.
3. Create rows for new open months up to the batch's latest, by carrying the last month forward.
4. Insert the events, then update lifespans, accounts, experiments and usage.
5. Differences for closed months are not applied: they become corrections (`CorrectionLedger`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Self
from uuid import UUID

from app.db.corrections import add_corrections
from app.db.engine import Transaction
from app.db.events import EventColumns, insert_events, prefer_index_scans, select_known
from app.db.feed import SourceEventCount, count_accepted_events
from app.db.months import carry_forward
from app.db.organizations import OrganizationRow, extend_coverage, lock_organization
from app.domain.events import (
    EVENT_TYPE_BY_CLASS,
    AnyEvent,
    UsageRecordedEvent,
    encode_event_data,
)
from app.domain.months import Month
from app.ingest.accounts import store_accounts
from app.ingest.batch import Batch, NewEvents
from app.ingest.corrections import CorrectionLedger
from app.ingest.directory import store_directory
from app.ingest.experiments import load_experiment_facts, store_experiments
from app.ingest.row_limit import RowLimit
from app.ingest.subjects import parent_of
from app.ingest.usage import store_usage

CHUNK_SIZE = 5_000
"""Events that are stored at once; it bounds the memory that a large import takes."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """How many events of a batch were new, and how many were stored already."""

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
    tx: Transaction,
    organization_id: UUID,
    events: Sequence[AnyEvent],
    now: datetime,
    *,
    max_rows: int | None = None,
) -> Sequence[bool]:
    """Store a batch within the caller's transaction, after other batches of the organization.

    Args:
        tx: The transaction; the caller commits it.
        organization_id: The organization that the events belong to.
        events: Validated events in any order, possibly with duplicates.
        now: When the events arrived.
        max_rows: How many month rows the batch may write; None is without limit.

    Returns:
        One flag per event: True if it was new and is stored, False if it is a duplicate.

    Raises:
        BatchWritesTooMuch: The batch would write more rows. The caller rolls back.
    """
    if not events:
        return ()
    organization = await lock_organization(tx, organization_id)
    await prefer_index_scans(tx)
    uids = [event.uid for event in events]
    is_new = _flag_new(uids, await select_known(tx, organization_id, uids))
    if any(is_new):
        by_uid = dict(zip(compress(uids, is_new), compress(events, is_new), strict=True))
        await _store_new(tx, organization, NewEvents(by_uid), now, max_rows)
    await count_accepted_events(tx, organization_id, _count_by_source(events, is_new), now)
    return is_new


def _flag_new(uids: Iterable[UUID], stored: set[UUID]) -> list[bool]:
    """Return for each uid whether it is not stored and does not occur earlier in the list."""
    is_new = dict.fromkeys(uids, True) | dict.fromkeys(stored, False)
    return [is_new.pop(uid, False) for uid in uids]


def _count_by_source(events: Sequence[AnyEvent], is_new: Sequence[bool]) -> list[SourceEventCount]:
    sources = [event.source for event in events]
    accepted = Counter(compress(sources, is_new))
    latest: dict[str, datetime] = {}
    for event in events:
        if event.source not in latest or event.time > latest[event.source]:
            latest[event.source] = event.time
    return [
        SourceEventCount(source, accepted[source], count - accepted[source], latest[source])
        for source, count in Counter(sources).items()
    ]


async def _store_new(
    tx: Transaction,
    organization: OrganizationRow,
    new: NewEvents,
    now: datetime,
    max_rows: int | None,
) -> None:
    limit = RowLimit(max_rows, new, organization)
    limit.check_estimate()
    batch = await _prepare_batch(tx, organization, new)
    # Read before the insert: "without the batch" must not include it.
    experiments = await load_experiment_facts(batch)
    data = encode_event_data([event.data for event in new.by_uid.values()])
    await insert_events(tx, batch.organization_id, _to_columns(new), data, now)
    ended_projects = await store_directory(batch)
    await store_accounts(batch)
    user_figures = await store_experiments(batch, experiments, ended_projects)
    await store_usage(batch, user_figures)
    if corrections := list(batch.corrections.rows()):
        await add_corrections(tx, batch.organization_id, batch.open_months[0], corrections)
    await extend_coverage(
        tx,
        batch.organization_id,
        first_month=batch.open_months[0],
        last_month=batch.last_month,
        first_event_at=new.history_start,
        latest_event_at=new.latest_at,
        ui_measured_from=_earliest_use(batch, "ui"),
        sdk_measured_from=_earliest_use(batch, "sdk"),
        changed_at=now,
    )
    await limit.check_written(tx)


async def _prepare_batch(tx: Transaction, organization: OrganizationRow, new: NewEvents) -> Batch:
    """Determine the months that the batch concerns, and create rows for months that are new.

    The rows of a new month start as the stocks at the end of the month before.
    """
    first_month, last_with_rows = organization.first_month, organization.last_month
    first_event_at = organization.first_event_at
    first_event_month = Month.containing(first_event_at) if first_event_at else None
    end = Month.containing(new.latest_at)
    begin = Month.containing(new.history_start) if new.history_start else first_event_month or end
    closed_through = organization.closed_through
    earliest = min(begin, first_event_month or begin)
    first_open = closed_through.plus(1) if closed_through else min(begin, first_month or begin)
    first, last = max(begin, first_open), max(end, first_open)
    if last_with_rows:
        if new_months := list(last_with_rows.plus(1).through(last)):
            await carry_forward(tx, organization.organization_id, last_with_rows, new_months)
        last = max(last, last_with_rows)
    first_month_with_rows: Month | None = None
    if first_month and first_event_month:
        # Between an imported report and the first event, months have no rows.
        first_month_with_rows = max(first_month, first_event_month, first_open)
        first = min(first, first_month_with_rows)
    return Batch(
        tx=tx,
        organization_id=organization.organization_id,
        new_events=new,
        closed_months=list(earliest.through(first_open.plus(-1))),
        open_months=list(first.through(last)),
        first_month_with_rows=first_month_with_rows,
        first_event_month=first_event_month,
        corrections=CorrectionLedger(organization.imported_through),
    )


def _earliest_use(batch: Batch, channel: str) -> datetime | None:
    used = (
        event.time
        for event in batch.events_of(UsageRecordedEvent)
        if event.data.channel == channel
    )
    return min(used, default=None)


def _to_columns(new: NewEvents) -> EventColumns:
    events = list(new.by_uid.values())
    return EventColumns(
        uid=list(new.by_uid),
        type=[EVENT_TYPE_BY_CLASS[type(event)] for event in events],
        occurred_at=[event.time for event in events],
        subject_id=new.subject_ids,
        parent_id=[parent_of(event) for event in events],
        source=[event.source for event in events],
        id=[event.id for event in events],
    )
