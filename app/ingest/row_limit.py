"""Limit the month rows that one batch may write.

An event changes its entities in each month from its time on. A few kilobytes of events that are
years old would therefore write hundreds of megabytes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.db.engine import Transaction
from app.db.months import count_written_rows
from app.db.organizations import OrganizationRow
from app.domain.errors import BatchWritesTooMuch
from app.domain.events import (
    ExperimentCreatedEvent,
    MemberAddedEvent,
    MemberRemovedEvent,
    ProjectDeletedEvent,
    ProjectUpsertedEvent,
    UsageRecordedEvent,
    UserDeletedEvent,
    UserUpsertedEvent,
    WorkspaceDeletedEvent,
    WorkspaceUpsertedEvent,
)
from app.domain.months import Month, count_months
from app.ingest.batch import NewEvents

_Entities = Iterable[tuple[str, ...]]
_USUAL_MONTHS = 2
"""Batches of this and the last month are not counted: they are the rule, and cannot be large."""


class RowLimit:
    """The limit for one batch: estimated before anything is written, and counted afterwards.

    Args:
        max_rows: The limit; None is without.
        new: The batch's new events.
        organization: The organization before the batch.
    """

    def __init__(
        self, max_rows: int | None, new: NewEvents, organization: OrganizationRow
    ) -> None:
        self._new = new
        self._last = max(Month.containing(new.latest_at), organization.last_month or Month(1, 1))
        first_usual = self._last.plus(1 - _USUAL_MONTHS)
        is_unusual = Month.containing(new.earliest_at) < first_usual
        self._max_rows = max_rows if is_unusual else None

    def check_estimate(self) -> None:
        """Reject a batch whose own entities have too many months.

        Raises:
            BatchWritesTooMuch: They have.
        """
        if self._max_rows is not None:
            self._require(estimate_rows(self._new, self._last))

    async def check_written(self, tx: Transaction) -> None:
        """Reject a batch that wrote too much, also for entities that it does not name.

        Raises:
            BatchWritesTooMuch: It did.
        """
        if self._max_rows is not None:
            self._require(await count_written_rows(tx))

    def _require(self, rows: int) -> None:
        if self._max_rows is not None and rows > self._max_rows:
            raise BatchWritesTooMuch(limit=self._max_rows, rows=rows)


def estimate_rows(new: NewEvents, last: Month) -> int:
    """Return how many month rows the entities that a batch names have from its events on."""
    first_months: dict[tuple[str, ...], Month] = {}
    for event in new.by_uid.values():
        month = Month.containing(event.time)
        for entity in _ENTITIES.get(type(event), _experiment)(event.data):
            if month < first_months.get(entity, Month(9999, 12)):
                first_months[entity] = month
    return sum(count_months(first, last) + 1 for first in first_months.values())


def _user(data: Any) -> _Entities:
    return [("user", data.username)]


def _workspace(data: Any) -> _Entities:
    return [("workspace", data.name)]


def _member(data: Any) -> _Entities:
    workspace, user = data.workspace, data.username
    return [("workspace", workspace), ("user", user), ("member", workspace, user)]


def _project(data: Any) -> _Entities:
    return [("workspace", data.workspace), ("project", data.workspace, data.name)]


def _placed_experiment(data: Any) -> _Entities:
    return [*_member(data), ("project", data.workspace, data.project)]


def _experiment(data: Any) -> _Entities:
    """Stand for the workspace, project, member and user, which the event does not name."""
    return [("experiment", data.experiment, str(number)) for number in range(4)]


_ENTITIES: Mapping[type, Callable[[Any], _Entities]] = {
    ExperimentCreatedEvent: _placed_experiment,
    MemberAddedEvent: _member,
    MemberRemovedEvent: _member,
    ProjectDeletedEvent: _project,
    ProjectUpsertedEvent: _project,
    UsageRecordedEvent: _user,
    UserDeletedEvent: _user,
    UserUpsertedEvent: _user,
    WorkspaceDeletedEvent: _workspace,
    WorkspaceUpsertedEvent: _workspace,
}
