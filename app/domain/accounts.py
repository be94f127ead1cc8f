"""User accounts: their lifespans, and their state in each month."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from app.domain.lifespans import Lifespan, build_lifespans
from app.domain.months import Month

T = TypeVar("T")


class AccountFact(NamedTuple):
    """One `user.upserted` event, or `user.deleted` if `deleted`.

    `renamed` marks a deletion after which the user goes on under another name. None marks a
    property that the event left out.
    """

    occurred_at: datetime
    deleted: bool
    uid: UUID
    renamed: bool = False
    email: str | None = None
    created_at: datetime | None = None
    role: str | None = None
    service_account: bool | None = None
    suspended: bool | None = None


@dataclass(frozen=True, slots=True)
class AccountState:
    """A user as one month's report shows it.

    Attributes:
        licensed: Whether the account existed at any time in the month, and did not go on under
            another name, which then has the licence.
        email: Null when no event gave one.
        role: `ADMIN` or `MEMBER`.
        service_account: Whether a program uses the account.
        suspended: Whether the account is suspended.
        created_at: The creation time that events state, else the time of the first event.
        created_at_is_inferred: Whether `created_at` is only the time of the first event.
        deleted_at: None unless the account was deleted before the month's end.
    """

    licensed: bool
    email: str | None
    role: str
    service_account: bool
    suspended: bool
    created_at: datetime
    created_at_is_inferred: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountLifespan:
    """One lifespan of a user's account, with at least one `user.upserted` fact about it."""

    lifespan: Lifespan
    facts: Sequence[AccountFact]
    ends_with_rename: bool

    def state_in(self, month: Month) -> AccountState:
        """Return the account as it is at the month's end.

        The latest value of each property counts. If the lifespan began before its first fact,
        that fact's properties also apply to the time before it.
        """
        end, ended_at = month.end, self.lifespan.ended_at
        known = [fact for fact in self.facts if fact.occurred_at < end] or [self.facts[0]]
        created_at = _latest(fact.created_at for fact in known)
        return AccountState(
            licensed=self._is_licensed_in(month),
            email=_latest(fact.email for fact in known),
            role=_latest(fact.role for fact in known) or "MEMBER",
            service_account=_latest(fact.service_account for fact in known) or False,
            suspended=_latest(fact.suspended for fact in known) or False,
            created_at=created_at or self.lifespan.started_at,
            created_at_is_inferred=created_at is None and not self._has_stated_start,
            deleted_at=ended_at if ended_at is not None and ended_at < end else None,
        )

    def _is_licensed_in(self, month: Month) -> bool:
        ended_at = self.lifespan.ended_at
        if ended_at is None:
            return True
        return ended_at >= month.end if self.ends_with_rename else ended_at > month.start

    @property
    def _has_stated_start(self) -> bool:
        """Whether any fact, even a later one, states the time at which the lifespan began."""
        return any(fact.created_at == self.lifespan.started_at for fact in self.facts)


def build_account_lifespans(facts: Iterable[AccountFact]) -> list[AccountLifespan]:
    """Return the lifespans of an account, in order.

    A lifespan begins with a `user.upserted` event, or earlier if the event's `createdAt` is
    earlier. A `createdAt` after the event is shown in reports but does not delay the start, since
    the account evidently existed already. A lifespan without facts of its own takes the next one.
    """
    ordered = sorted(facts, key=lambda fact: fact[:3])
    upserts = [fact for fact in ordered if not fact.deleted]
    starts = {fact.occurred_at for fact in upserts} | {
        fact.created_at
        for fact in upserts
        if fact.created_at and fact.created_at < fact.occurred_at
    }
    lifespans = build_lifespans(starts, (fact.occurred_at for fact in ordered if fact.deleted))
    renames = {fact.occurred_at for fact in ordered if fact.renamed}
    return [
        AccountLifespan(lifespan, _facts_during(lifespan, upserts), lifespan.ended_at in renames)
        for lifespan in lifespans
    ]


def account_state_in(lifespans: Sequence[AccountLifespan], month: Month) -> AccountState | None:
    """Return the account's state in a month; None if it was created after the month.

    If it was deleted and created again, its latest lifespan before the month's end counts.
    """
    begun = [account for account in lifespans if account.lifespan.started_at < month.end]
    return begun[-1].state_in(month) if begun else None


def _facts_during(lifespan: Lifespan, upserts: Sequence[AccountFact]) -> Sequence[AccountFact]:
    started_at, ended_at = lifespan
    during = [
        fact
        for fact in upserts
        if started_at <= fact.occurred_at and (ended_at is None or fact.occurred_at <= ended_at)
    ]
    return during or [next(fact for fact in upserts if fact.occurred_at >= started_at)]


def _latest(values: Iterable[T | None]) -> T | None:
    """Return the last value that is not None."""
    latest = None
    for value in values:
        latest = latest if value is None else value
    return latest
