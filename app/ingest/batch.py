"""The state of one batch while it is being stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from app.db.engine import Transaction
from app.domain.events import AnyEvent, Event, UsageRecordedEvent
from app.domain.months import Month
from app.ingest.corrections import CorrectionLedger
from app.ingest.subjects import subject_of

E = TypeVar("E", bound=Event)


class NewEvents:
    """The events of a batch that are not stored yet; at least one.

    Attributes:
        by_uid: The events by uid.
        subject_ids: For each event, in the same order, the id of the entity that it is about.
        by_type: The events by class; classes without events are absent.
        earliest_at: When the earliest event happened.
        history_start: When the earliest event happened that shows that the organization existed;
            None if all are usage of count 0, which only shows that a channel is measured.
        latest_at: When the latest event happened.
    """

    def __init__(self, by_uid: Mapping[UUID, AnyEvent]) -> None:
        self.by_uid = by_uid
        self.subject_ids = [subject_of(event) for event in by_uid.values()]
        self.by_type: dict[type, list[Any]] = {}
        for event in by_uid.values():
            self.by_type.setdefault(type(event), []).append(event)
        times = [event.time for event in by_uid.values()]
        self.earliest_at, self.latest_at = min(times), max(times)
        signs = (event.time for event in by_uid.values() if _is_sign_of_existence(event))
        self.history_start = min(signs, default=None)


def _is_sign_of_existence(event: AnyEvent) -> bool:
    return not isinstance(event, UsageRecordedEvent) or event.data.uses > 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The new events of a batch, and everything that storing them needs.

    Attributes:
        tx: The transaction that stores the batch.
        organization_id: The organization that the events belong to.
        new_events: The events that are not stored yet.
        closed_months: The closed months from the month of the earliest event ever. Events about
            them become corrections.
        open_months: The open months that have rows once the batch is stored; at least one.
        first_month_with_rows: The earliest open month that had rows before; None if none had.
        first_event_month: The month of the earliest event stored before the batch; None if there
            was none. Earlier months were empty, even if accounts were created in them.
        corrections: What the batch adds to closed months, booked in the first open month.
    """

    tx: Transaction
    organization_id: UUID
    new_events: NewEvents
    closed_months: Sequence[Month]
    open_months: Sequence[Month]
    first_month_with_rows: Month | None
    first_event_month: Month | None
    corrections: CorrectionLedger

    def events_of(self, event_class: type[E]) -> Sequence[E]:
        """Return the new events of one class."""
        return self.new_events.by_type.get(event_class, ())

    def data_of(self, *event_classes: type[Event]) -> Iterator[Any]:
        """Yield the data of the new events of these classes."""
        by_type = self.new_events.by_type
        return (event.data for each in event_classes for event in by_type.get(each, ()))

    def contains(self, uid: UUID) -> bool:
        """Return whether the batch contains that event."""
        return uid in self.new_events.by_uid

    @property
    def moves_history_start(self) -> bool:
        """Whether the batch has an event in a month before the earliest event so far."""
        start = self.new_events.history_start
        if start is None or self.first_event_month is None:
            return False
        return Month.containing(start) < self.first_event_month

    @property
    def last_month(self) -> Month:
        """The latest month with rows."""
        return self.open_months[-1]
