"""A batch on its way into the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from app.db.engine import Transaction
from app.domain.events import AnyEvent, Event
from app.domain.months import Month
from app.feed.late import Late

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Batch:
    """The fresh events of a batch, and the transaction that stores what follows from them.

    Attributes:
        tx: The transaction.
        organization_id: Whose events they are.
        events: The fresh ones: those that were not stored before.
        uids: Their uids.
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
    events: Sequence[AnyEvent]
    uids: frozenset[UUID]
    closed: Sequence[Month]
    months: Sequence[Month]
    first_before: Month | None
    known_before: Month | None
    late: Late

    def of(self, kind: type[E]) -> list[E]:
        """Its events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def begins_earlier(self) -> bool:
        """Whether the batch makes months begin that were before the first event until now."""
        earliest = Month.containing(min(event.time for event in self.events))
        return self.known_before is not None and earliest < self.known_before

    @property
    def last(self) -> Month:
        """The latest month with rows."""
        return self.months[-1]
