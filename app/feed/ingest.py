"""Storing a batch: facts in, then everything that follows from them, in one transaction.

Each thing that the batch says something new about is worked out again from all that is known of
it, without the batch and with it, and the difference is written. Nothing depends on what arrived
first: two orders of arrival write other differences with the same sum.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self
from uuid import UUID

from app.db.closes import add_corrections
from app.db.engine import Transaction
from app.db.events import EventRow, insert_events, plan_by_index
from app.db.feed import SourceCount, add_counts
from app.db.months import carry_forward
from app.db.organizations import lock_organization, update_span
from app.domain.events import (
    AnyEvent,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentResizedEvent,
    MemberAddedEvent,
    MemberRemovedEvent,
    ProjectDeletedEvent,
    ProjectUpsertedEvent,
    UsageRecordedEvent,
    UserDeletedEvent,
    UserUpsertedEvent,
    WorkspaceDeletedEvent,
    WorkspaceUpsertedEvent,
    encode_fact,
)
from app.domain.ids import (
    experiment_id,
    member_id,
    project_id,
    user_id,
    workspace_id,
)
from app.domain.months import Month
from app.feed.accounts import store_accounts
from app.feed.batch import Batch
from app.feed.directory import store_directory
from app.feed.experiments import store_experiments
from app.feed.late import Late
from app.feed.usage import store_usage


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch: events that were stored, and events that were there already."""

    accepted: int = 0
    duplicates: int = 0

    @classmethod
    def of(cls, events: Sequence[AnyEvent], stored: set[UUID]) -> Self:
        """What became of some events; each uid is taken from `stored` by the first that has it."""
        accepted = len({event.uid for event in events} & stored)
        stored.difference_update(event.uid for event in events)
        return cls(accepted, len(events) - accepted)

    def __add__(self, other: "Accepted") -> "Accepted":
        return Accepted(self.accepted + other.accepted, self.duplicates + other.duplicates)


async def store_events(
    tx: Transaction, organization_id: UUID, events: Sequence[AnyEvent], now: datetime
) -> set[UUID]:
    """Store a batch within the caller's transaction; batches of an organization queue up.

    Args:
        tx: The transaction, the caller's to commit.
        organization_id: Whose events they are.
        events: Checked events, in any order, duplicates among them.
        now: When they arrived.

    Returns:
        The uids of the events that were stored; the others are duplicates.
    """
    if not events:
        return set()
    organization = await lock_organization(tx, organization_id)
    await plan_by_index(tx, is_large=len(events) >= LARGE)
    by_uid = {event.uid: event for event in reversed(events)}
    rows = [_row(uid, event) for uid, event in by_uid.items()]
    stored = await insert_events(tx, organization_id, rows, now)
    if stored:
        fresh = {uid: event for uid, event in by_uid.items() if uid in stored}
        await _store(tx, organization, fresh, now)
    await add_counts(tx, organization_id, _counts(events, by_uid, stored), now)
    return stored


LARGE = 500
"""Events from which on making plans anew costs less than a plan for few rows would."""


def _counts(
    events: Sequence[AnyEvent], by_uid: Mapping[UUID, AnyEvent], stored: set[UUID]
) -> list[SourceCount]:
    sent = Counter(event.source for event in events)
    accepted = Counter(by_uid[uid].source for uid in stored)
    latest: dict[str, datetime] = {}
    for event in events:
        if event.source not in latest or event.time > latest[event.source]:
            latest[event.source] = event.time
    return [
        SourceCount(source, accepted[source], count - accepted[source], latest[source])
        for source, count in sent.items()
    ]


async def _store(
    tx: Transaction, organization: Any, fresh: dict[UUID, AnyEvent], now: datetime
) -> None:
    batch = await _open_months(tx, organization, fresh)
    projects = await store_directory(batch)
    await store_accounts(batch)
    await store_experiments(batch, projects)
    await store_usage(batch)
    if late := list(batch.late.rows()):
        await add_corrections(tx, batch.organization_id, batch.months[0].first_day, late)
    await update_span(
        tx,
        organization.organization_id,
        first_month=batch.months[0].first_day,
        last_month=batch.last.first_day,
        first_event_at=min(event.time for event in batch.events),
        latest_event_at=max(event.time for event in batch.events),
        ui_measured_from=_measured_from(batch, "ui"),
        sdk_measured_from=_measured_from(batch, "sdk"),
        changed_at=now,
    )


async def _open_months(tx: Transaction, organization: Any, fresh: dict[UUID, AnyEvent]) -> Batch:
    """Give the open months up to the batch's latest the rows that follow from those before."""
    touched = [Month.containing(event.time) for event in fresh.values()]
    known = _month_of(organization.first_month)
    known_before = _month_of(organization.first_event_at)
    closed_through = _month_of(organization.closed_through)
    earliest = min([*touched, *known_before])
    first_open = closed_through[0].plus(1) if closed_through else min([*touched, *known])
    first, last = max(min(touched), first_open), max(*touched, first_open)
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
        events=list(fresh.values()),
        uids=frozenset(fresh),
        closed=list(earliest.through(first_open.plus(-1))),
        months=list(first.through(last)),
        first_before=first_before,
        known_before=known_before[0] if known_before else None,
        late=Late(since=organization.hand_over),
    )


def _month_of(day: date | None) -> list[Month]:
    return [] if day is None else [Month.containing(day)]


def _measured_from(batch: Batch, channel: str) -> datetime | None:
    used = (event.time for event in batch.of(UsageRecordedEvent) if event.data.channel == channel)
    return min(used, default=None)


def _row(uid: UUID, event: AnyEvent) -> EventRow:
    subject_id, parent_id = _subject(event)
    data = encode_fact(event.data).decode()
    return EventRow(
        uid, event.type, event.time, subject_id, parent_id, event.source, event.id, data
    )


def _subject(event: AnyEvent) -> tuple[UUID, UUID | None]:
    """The thing that an event is about; for a creation of an experiment also its project."""
    match event:
        case UserUpsertedEvent() | UserDeletedEvent() | UsageRecordedEvent():
            return user_id(event.data.username), None
        case WorkspaceUpsertedEvent() | WorkspaceDeletedEvent():
            return workspace_id(event.data.name), None
        case MemberAddedEvent() | MemberRemovedEvent():
            return member_id(event.data.workspace, event.data.username), None
        case ProjectUpsertedEvent() | ProjectDeletedEvent():
            return project_id(event.data.workspace, event.data.name), None
        case ExperimentCreatedEvent():
            parent = project_id(event.data.workspace, event.data.project)
            return experiment_id(event.data.experiment), parent
        case ExperimentResizedEvent() | ExperimentDeletedEvent():
            return experiment_id(event.data.experiment), None
