"""Timelines: what a set of facts says about a thing over time, whatever order they arrived in.

Each rule here is a pure function of a *set* of facts, sorted by the time that they carry. That is
the whole of invariant 1: arrival order cannot matter where nothing remembers it.

Facts of one instant apply in the order of a life (created, changed, deleted), and what is still
tied then by the event's key: clocks that tick in seconds make such ties common.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, TypeVar
from uuid import UUID

from app.domain.months import Month

T = TypeVar("T")


class Lifespan(NamedTuple):
    """From the first moment that a thing exists to the first at which it does not."""

    born: datetime
    died: datetime | None

    def covers(self, instant: datetime) -> bool:
        """Whether the thing exists at that instant."""
        return self.born <= instant and (self.died is None or instant < self.died)


def lives(births: Iterable[datetime], deaths: Iterable[datetime]) -> list[Lifespan]:
    """The lives of a thing that facts create and destroy, in order.

    A birth within a life changes nothing, nor does a death outside of one. A thing that is created
    and deleted in one instant has an empty life: it was there, and is seen at no time.
    """
    ends = sorted(deaths)
    found: list[Lifespan] = []
    for born in sorted(births):
        if found and (found[-1].died is None or born <= found[-1].died):
            continue
        following = bisect_left(ends, born)
        found.append(Lifespan(born, ends[following] if following < len(ends) else None))
    return found


def exists_before(found: Sequence[Lifespan], end: datetime) -> bool:
    """Whether the thing exists at the last instant before `end`."""
    return any(life.born < end and (life.died is None or life.died >= end) for life in found)


class AccountFact(NamedTuple):
    """`user.upserted`, or `user.deleted` when `deleted`; None is what the fact does not say."""

    occurred_at: datetime
    deleted: bool
    uid: UUID
    email: str | None = None
    created_at: datetime | None = None
    role: str | None = None
    service_account: bool | None = None
    suspended: bool | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user as a report month shows them; `licensed` unless deleted before the month began.

    `created_at_is_first_sign` where nothing says when the account was created.
    """

    licensed: bool
    email: str | None
    role: str
    service_account: bool
    suspended: bool
    created_at: datetime
    created_at_is_first_sign: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountLifespan:
    """One life of a user's account, with what was said of it; never nothing."""

    life: Lifespan
    facts: Sequence[AccountFact]

    def in_month(self, month: Month) -> Account:
        """The account as it stands at the month's end.

        Each property is the one said last; a life that is known to have begun before anything
        was said of it has the properties that were said first.
        """
        end, died = month.end, self.life.died
        known = [fact for fact in self.facts if fact.occurred_at < end] or [self.facts[0]]
        created_at = _last(fact.created_at for fact in known)
        return Account(
            licensed=died is None or died >= month.start,
            email=_last(fact.email for fact in known),
            role=_last(fact.role for fact in known) or "MEMBER",
            service_account=_last(fact.service_account for fact in known) or False,
            suspended=_last(fact.suspended for fact in known) or False,
            created_at=created_at or self.life.born,
            created_at_is_first_sign=created_at is None and not self._birth_is_stated,
            deleted_at=died if died is not None and died < end else None,
        )

    @property
    def _birth_is_stated(self) -> bool:
        """Whether something said later dates the account's birth."""
        return any(fact.created_at == self.life.born for fact in self.facts)


def account_lives(facts: Iterable[AccountFact]) -> list[AccountLifespan]:
    """The lives of an account.

    It is born by being announced, and at the earlier moment that an announcement calls its
    creation; a creation said to come later is shown, but the account was there already. A life
    during which nothing was said has the properties said next.
    """
    ordered = sorted(facts, key=lambda fact: fact[:3])
    said = [fact for fact in ordered if not fact.deleted]
    births = {fact.occurred_at for fact in said} | {
        fact.created_at for fact in said if fact.created_at and fact.created_at < fact.occurred_at
    }
    found = lives(births, (fact.occurred_at for fact in ordered if fact.deleted))
    return [AccountLifespan(life, _said_during(life, said)) for life in found]


def account_in(found: Sequence[AccountLifespan], month: Month) -> Account | None:
    """The account in that month, from the latest of its lives; None when it was not created yet.

    A licensed user is one created before the month ended and not deleted before it began.
    """
    begun = [account for account in found if account.life.born < month.end]
    return begun[-1].in_month(month) if begun else None


def _said_during(life: Lifespan, said: Sequence[AccountFact]) -> Sequence[AccountFact]:
    during = [
        fact
        for fact in said
        if life.born <= fact.occurred_at and (life.died is None or fact.occurred_at <= life.died)
    ]
    return during or [next(fact for fact in said if fact.occurred_at >= life.born)]


def _last(values: Iterable[T | None]) -> T | None:
    found = None
    for value in values:
        found = found if value is None else value
    return found


class Step(IntEnum):
    """What happens to an experiment; at one instant in this order."""

    CREATED = 0
    RESIZED = 1
    DELETED = 2


class Place(NamedTuple):
    """Where an experiment is counted: its workspace, its project and its owner."""

    workspace_id: UUID
    project_id: UUID
    user_id: UUID


class ExperimentFact(NamedTuple):
    """One step of an experiment. A creation names its place; the size may be unsaid there.

    They sort by what comes before the place: no two have one uid.
    """

    occurred_at: datetime
    step: Step
    uid: UUID
    place: Place | None = None
    size_bytes: int | None = None


class Change(NamedTuple):
    """What one instant adds to the stocks of a place, and whether an experiment began there.

    `unmeasured` is what it adds to the experiments whose size nothing says.
    """

    occurred_at: datetime
    place: Place
    experiments: int
    size_bytes: int
    unmeasured: int = 0
    created: int = 0


def experiment_changes(
    facts: Iterable[ExperimentFact], deaths: Mapping[UUID, Sequence[datetime]]
) -> list[Change]:
    """Everything that an experiment does to the stocks over time.

    Args:
        facts: All facts about one experiment, in any order.
        deaths: By project, the sorted moments at which it, or its workspace, was deleted: an
            experiment dies with its project, for good.

    A creation of an experiment that exists moves it. One that was resized before it was created
    begins with that size, unless its creation says another. One of which nothing says a size
    holds no bytes, and is unmeasured, until something does.
    """
    life = _ExperimentLife()
    for fact in sorted(facts):
        life.die_with_project(deaths, before=fact.occurred_at)
        life.take(fact)
    life.die_with_project(deaths, before=None)
    return life.changes


class _ExperimentLife:
    """The state of the fold over one experiment's facts."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._place: Place | None = None
        self._placed_at: datetime | None = None
        self._size_bytes: int | None = None

    def take(self, fact: ExperimentFact) -> None:
        if fact.step is Step.DELETED:
            self._leave(fact.occurred_at)
        elif fact.place is not None:
            self._enter(fact.occurred_at, fact.place, fact.size_bytes)
        elif fact.size_bytes is not None:
            self._resize(fact.occurred_at, fact.size_bytes)

    def die_with_project(
        self, deaths: Mapping[UUID, Sequence[datetime]], *, before: datetime | None
    ) -> None:
        if self._place is None or self._placed_at is None:
            return
        ends = deaths.get(self._place.project_id, ())
        following = bisect_left(ends, self._placed_at)
        if following < len(ends) and (before is None or ends[following] < before):
            self._leave(ends[following])

    def _enter(self, at: datetime, place: Place, size_bytes: int | None) -> None:
        size_bytes = self._size_bytes if size_bytes is None else size_bytes
        if place == self._place:
            self._resize(at, size_bytes)
            return
        created = self._place is None
        self._withdraw(at)
        unmeasured = int(size_bytes is None)
        self.changes.append(Change(at, place, 1, size_bytes or 0, unmeasured, int(created)))
        self._place, self._placed_at, self._size_bytes = place, at, size_bytes

    def _resize(self, at: datetime, size_bytes: int | None) -> None:
        if self._place is not None and size_bytes is not None and size_bytes != self._size_bytes:
            more = size_bytes - (self._size_bytes or 0)
            self.changes.append(Change(at, self._place, 0, more, -self._unmeasured))
        self._size_bytes = size_bytes

    def _leave(self, at: datetime) -> None:
        self._withdraw(at)
        self._place, self._placed_at, self._size_bytes = None, None, None

    def _withdraw(self, at: datetime) -> None:
        if self._place is not None:
            held = self._size_bytes or 0
            self.changes.append(Change(at, self._place, -1, -held, -self._unmeasured))

    @property
    def _unmeasured(self) -> int:
        return int(self._size_bytes is None)


@dataclass(slots=True)
class Figures:
    """What changes within one month add to that month's row.

    `byte_microseconds` assumes that what changed stays until the month's end.
    """

    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    byte_microseconds: int = 0
    unmeasured: int = 0

    def add(self, change: Change, remaining_microseconds: int, sign: int) -> None:
        """Count a change once more (`sign` 1), or no longer (-1)."""
        self.experiments += sign * change.experiments
        self.experiments_created += sign * change.created
        self.unmeasured += sign * change.unmeasured
        self.size_bytes += sign * change.size_bytes
        self.byte_microseconds += sign * change.size_bytes * remaining_microseconds

    def carried(self, microseconds: int) -> "Figures":
        """What follows from this for a later month of that length: what is there, stays."""
        return Figures(
            experiments=self.experiments,
            unmeasured=self.unmeasured,
            size_bytes=self.size_bytes,
            byte_microseconds=self.size_bytes * microseconds,
        )

    def merge(self, other: "Figures") -> None:
        """Add what another place contributes to the same row."""
        self.experiments += other.experiments
        self.experiments_created += other.experiments_created
        self.unmeasured += other.unmeasured
        self.size_bytes += other.size_bytes
        self.byte_microseconds += other.byte_microseconds

    def __bool__(self) -> bool:
        return bool(
            self.experiments
            or self.experiments_created
            or self.size_bytes
            or self.byte_microseconds
            or self.unmeasured
        )
