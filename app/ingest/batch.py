"""A batch on its way into the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from app.db.engine import Transaction
from app.domain.events import AnyEvent, Event
from app.domain.months import Month
from app.ingest.corrections import CorrectionLedger
from app.ingest.subjects import subject_of

E = TypeVar("E", bound=Event)


class NewEvents:
    """The events of a batch that were not stored before, and never none.

    Attributes:
        by_uid: Each by its uid.
        subject_ids: The thing that each is about, in the same order.
        by_type: Those of each type, where there are any.
        earliest_at: When the earliest of them happened.
        latest_at: When the latest of them happened.
    """

    def __init__(self, by_uid: Mapping[UUID, AnyEvent]) -> None:
        self.by_uid = by_uid
        self.subject_ids = [subject_of(event) for event in by_uid.values()]
        self.by_type: dict[type, list[Any]] = {}
        for event in by_uid.values():
            self.by_type.setdefault(type(event), []).append(event)
        times = [event.time for event in by_uid.values()]
        self.earliest_at, self.latest_at = min(times), max(times)


@dataclass(frozen=True, slots=True)
class Batch:
    """The fresh events of a batch, and the transaction that stores what follows from them.

    Attributes:
        tx: The transaction.
        organization_id: Whose events they are.
        fresh: The events.
        closed: Closed months that the batch may be too late for: from the month of the earliest
            event ever.
        months: Open months that have rows once the batch is stored; never none.
        first_before: The earliest open month that had rows before; None when none had.
        known_before: The month of the earliest event before the batch; None when there was none.
            Earlier months were empty, whatever accounts say of their creation.
        late: What the batch adds to closed months; it is booked in the first open one.
    """

    tx: Transaction
    organization_id: UUID
    fresh: NewEvents
    closed: Sequence[Month]
    months: Sequence[Month]
    first_before: Month | None
    known_before: Month | None
    late: CorrectionLedger

    def of(self, kind: type[E]) -> Sequence[E]:
        """Its events of one type."""
        return self.fresh.by_type.get(kind, ())

    def said_by(self, *kinds: type[Event]) -> Iterator[Any]:
        """The data of its events of these types."""
        return (event.data for kind in kinds for event in self.fresh.by_type.get(kind, ()))

    def brings(self, uid: UUID) -> bool:
        """Whether that event came with the batch."""
        return uid in self.fresh.by_uid

    @property
    def begins_earlier(self) -> bool:
        """Whether the batch makes months begin that were before the first event until now."""
        earliest = Month.containing(self.fresh.earliest_at)
        return self.known_before is not None and earliest < self.known_before

    @property
    def last(self) -> Month:
        """The latest month with rows."""
        return self.months[-1]
