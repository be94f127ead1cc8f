"""What closed months are charged for, before and after the corrections that a month books.

A correction of a workspace's use changes that workspace alone. A correction of a user, or of a
membership, can move a seat or uses from one cost centre to another, so such users are charged
anew with everything that is known of them, and the difference is booked.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from app.db.charges import (
    CORRECTED_FIGURES_OF_USERS,
    ChargeCorrection,
    UserUsage,
    read_corrections,
    read_earlier_corrections,
    read_licensed_usage,
    read_memberships,
    read_service_accounts,
)
from app.db.row_reader import RowReader
from app.domain.charges import (
    CorrectedMonth,
    Party,
    Usage,
    UserQuantity,
    WorkspaceQuantity,
    storage_quantity,
)
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.rates import Measure, RateCard

_ServiceAccounts = Mapping[tuple[Month, UUID], bool]
"""Whether a user is a service account in a closed month."""


async def read_corrected_months(
    read: RowReader, card: RateCard, month: Month
) -> Sequence[CorrectedMonth]:
    """Return the closed months that a month corrects, earliest first."""
    booked = await read_corrections(read, month.first_day)
    affected = {(each.origin, each.user.id) for each in booked if _is_of_user(each) and each.user}
    earlier = [
        each
        for each in await _read_earlier(read, month, affected)
        if each.user and (each.origin, each.user.id) in affected
    ]
    service_accounts = await _read_service_accounts(read, [*earlier, *booked])
    found = []
    for origin in sorted({each.origin for each in booked}):
        tariff = card.tariff(origin)
        if tariff is not None:
            users = [user for of, user in affected if of == origin]
            closed = await _read_closed_users(read, origin, users)
            before = [each for each in earlier if each.origin == origin]
            now = [each for each in booked if each.origin == origin]
            found.append(
                CorrectedMonth(
                    tariff,
                    closed.correct(before, service_accounts),
                    closed.correct([*before, *now], service_accounts),
                )
            )
    return found


def _is_of_user(correction: ChargeCorrection) -> bool:
    return correction.figure in CORRECTED_FIGURES_OF_USERS


async def _read_earlier(
    read: RowReader, month: Month, affected: Collection[tuple[Month, UUID]]
) -> Sequence[ChargeCorrection]:
    if not affected:
        return []
    origins, users = ({*values} for values in zip(*affected, strict=True))
    return await read_earlier_corrections(read, month.first_day, origins, users)


async def _read_service_accounts(
    read: RowReader, corrections: Iterable[ChargeCorrection]
) -> _ServiceAccounts:
    """Return whether each user whose licence is corrected is a service account.

    A user who was reported only after the close has no licensed row in the closed month. For such
    a user the state in the month that first corrected the licence applies, and stays.
    """
    licences = sorted(
        (each.booked, each.origin, each.user.id)
        for each in corrections
        if each.figure is Figure.LICENSED_USERS and each.user is not None
    )
    if not licences:
        return {}
    months = {month.first_day for booked, origin, _ in licences for month in (booked, origin)}
    known = await read_service_accounts(read, months, {user for *_, user in licences})
    found: dict[tuple[Month, UUID], bool] = {}
    for booked, origin, user in licences:
        state = known.get((origin, user), known.get((booked, user), False))
        found.setdefault((origin, user), state)
    return found


class _ClosedUsers(NamedTuple):
    """The users of a closed month whose charges are corrected, as the close found them."""

    origin: Month
    usage: Sequence[UserUsage]
    memberships: Mapping[UUID, Sequence[Party]]

    def correct(
        self, corrections: Sequence[ChargeCorrection], service_accounts: _ServiceAccounts
    ) -> Usage:
        """Return these users with corrections, and the changes of workspaces."""
        return Usage(
            _change_workspaces(corrections, self.origin),
            _correct_users(self.usage, corrections, service_accounts),
            _correct_memberships(self.memberships, corrections),
        )


async def _read_closed_users(
    read: RowReader, origin: Month, users: Collection[UUID]
) -> _ClosedUsers:
    if not users:
        return _ClosedUsers(origin, [], {})
    usage = await read_licensed_usage(read, origin, users)
    memberships = await read_memberships(read, origin.first_day)
    return _ClosedUsers(origin, usage, {user: memberships.get(user, ()) for user in users})


def _change_workspaces(
    corrections: Sequence[ChargeCorrection], origin: Month
) -> Mapping[Measure, Sequence[WorkspaceQuantity]]:
    changes: dict[Measure, dict[Party, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for each in corrections:
        if each.workspace is None:
            continue
        if each.figure is Figure.BYTE_MICROSECONDS:
            held = storage_quantity(each.amount, origin)
            changes[Measure.STORAGE][each.workspace] += held
        elif each.figure is Figure.EXPERIMENTS_CREATED:
            changes[Measure.EXPERIMENTS_CREATED][each.workspace] += each.amount
    return {key: [WorkspaceQuantity(*item) for item in of.items()] for key, of in changes.items()}


def _correct_users(
    usage: Sequence[UserUsage],
    corrections: Sequence[ChargeCorrection],
    service_accounts: _ServiceAccounts,
) -> Mapping[Measure, Sequence[UserQuantity]]:
    quantities: dict[Measure, dict[Party, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for measure, of_users in to_user_quantities(usage).items():
        quantities[measure].update(dict(of_users))
    for each in corrections:
        corrected = _measure_of(each, service_accounts)
        if corrected is not None and each.user is not None:
            quantities[corrected][each.user] += each.amount
    return {key: [UserQuantity(*item) for item in of.items()] for key, of in quantities.items()}


def _measure_of(
    correction: ChargeCorrection, service_accounts: _ServiceAccounts
) -> Measure | None:
    if correction.figure is Figure.LICENSED_USERS and correction.user is not None:
        is_service_account = service_accounts[correction.origin, correction.user.id]
        return Measure.SERVICE_ACCOUNTS if is_service_account else Measure.SEATS
    return _MEASURES_OF_USES.get(correction.figure)


_MEASURES_OF_USES = {Figure.UI_USAGE: Measure.UI_USES, Figure.SDK_USAGE: Measure.SDK_USES}


def _correct_memberships(
    memberships: Mapping[UUID, Sequence[Party]], corrections: Sequence[ChargeCorrection]
) -> Mapping[UUID, Sequence[Party]]:
    corrected = {user: dict.fromkeys(workspaces) for user, workspaces in memberships.items()}
    for each in sorted(corrections, key=lambda each: each.booked):
        if each.figure is Figure.MEMBERS and each.user is not None and each.workspace is not None:
            workspaces = corrected[each.user.id]
            if each.amount > 0:
                workspaces[each.workspace] = None
            else:
                workspaces.pop(each.workspace, None)
    return {user: sorted(workspaces, key=_by_name) for user, workspaces in corrected.items()}


def _by_name(party: Party) -> tuple[str, UUID]:
    return party.name, party.id


def to_user_quantities(usage: Sequence[UserUsage]) -> Mapping[Measure, Sequence[UserQuantity]]:
    """Return the quantities of licensed users by measure."""
    one = Fraction(1)
    return {
        Measure.SEATS: [
            UserQuantity(each.user, one) for each in usage if not each.is_service_account
        ],
        Measure.SERVICE_ACCOUNTS: [
            UserQuantity(each.user, one) for each in usage if each.is_service_account
        ],
        Measure.UI_USES: [UserQuantity(each.user, Fraction(each.ui_uses)) for each in usage],
        Measure.SDK_USES: [UserQuantity(each.user, Fraction(each.sdk_uses)) for each in usage],
    }
