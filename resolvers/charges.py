"""The charges of a month: computed while it is open, read once it is closed."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from functools import partial
from uuid import UUID

from app.db.charges import (
    ChargeCorrection,
    UserUsage,
    WorkspaceUsage,
    read_booked_charges,
    read_corrections,
    read_memberships,
    read_service_accounts,
    read_user_usage,
    read_workspace_usage,
)
from app.db.rate_card import read_rate_card
from app.db.report_windows import ReportWindow
from app.db.row_reader import RowReader, read_from_snapshot
from app.domain.charges import (
    MonthCharges,
    Party,
    Usage,
    UserQuantity,
    WorkspaceQuantity,
    charge_month,
    storage_quantity,
)
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.rates import USER_MEASURES, WORKSPACE_MEASURES, Measure, RateCard, Tariff
from resolvers.context import Context
from resolvers.levels import ReportKey


async def charges_of_report(context: Context, report: ReportKey) -> MonthCharges | None:
    """Return the charges of a report; None while the organization has no currency.

    Source: table `charge` for a closed month. For an open month: the month rows, `correction` and
    the rate card (`rate`, `price`, `assignment`, `cost_centre`).
    """
    organization_id, window = report
    read = read_from_snapshot(context.snapshot, organization_id)
    return await context.charges_cache.fetch(report, partial(read_charges, read, window))


async def read_charges(read: RowReader, window: ReportWindow) -> MonthCharges | None:
    """Return the charges that a month's close booked, or compute those of an open month."""
    if window.closed:
        return await read_booked_charges(read, window.month)
    return await compute_charges(read, window)


async def compute_charges(read: RowReader, window: ReportWindow) -> MonthCharges | None:
    """Compute the charges of a month from its rows; None while there is no currency.

    An imported month has no charges, because a report does not contain time-weighted storage.
    """
    card = await read_rate_card(read)
    tariff = card.tariff(window.month)
    if tariff is None or not window.flows_known:
        return None
    usage = await _read_usage(read, window, tariff)
    corrections = await _read_corrected_usage(read, card, window.month)
    lines = await asyncio.to_thread(charge_month, tariff, usage, corrections)
    names = {code: centre.name for code, centre in card.cost_centres.items()}
    return MonthCharges(window.month, tariff.currency, lines, names)


async def _read_usage(read: RowReader, window: ReportWindow, tariff: Tariff) -> Usage:
    """Read only the usage that the rates in force charge."""
    measures = {priced.rate.measure for priced in tariff.rates}
    workspaces: Sequence[WorkspaceUsage] = ()
    users: Sequence[UserUsage] = ()
    memberships: Mapping[UUID, Sequence[Party]] = {}
    if measures & WORKSPACE_MEASURES:
        workspaces = await read_workspace_usage(read, window)
    if measures & USER_MEASURES:
        users = await read_user_usage(read, window)
        memberships = await read_memberships(read, window.rows_month)
    return Usage(
        _workspace_quantities(workspaces, tariff.month), _user_quantities(users), memberships
    )


def _workspace_quantities(
    usage: Sequence[WorkspaceUsage], month: Month
) -> Mapping[Measure, Sequence[WorkspaceQuantity]]:
    return {
        Measure.STORAGE: [
            WorkspaceQuantity(each.workspace, storage_quantity(each.byte_microseconds, month))
            for each in usage
        ],
        Measure.EXPERIMENTS_CREATED: [
            WorkspaceQuantity(each.workspace, Fraction(each.experiments_created)) for each in usage
        ],
    }


def _user_quantities(usage: Sequence[UserUsage]) -> Mapping[Measure, Sequence[UserQuantity]]:
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


async def _read_corrected_usage(
    read: RowReader, card: RateCard, month: Month
) -> list[tuple[Tariff, Usage]]:
    """Return the tariff and the corrected usage of each closed month that this one corrects."""
    by_origin: dict[Month, list[ChargeCorrection]] = defaultdict(list)
    for correction in await read_corrections(read, month.first_day):
        by_origin[correction.origin].append(correction)
    if not by_origin:
        return []
    service_accounts = await _read_service_accounts(read, by_origin, month)
    corrected = []
    for origin, corrections in sorted(by_origin.items()):
        tariff = card.tariff(origin)
        if tariff is not None:
            memberships = await _read_corrected_memberships(read, origin, corrections)
            usage = _to_usage(corrections, origin, memberships, service_accounts)
            corrected.append((tariff, usage))
    return corrected


async def _read_service_accounts(
    read: RowReader, by_origin: Mapping[Month, Sequence[ChargeCorrection]], booked: Month
) -> Mapping[tuple[Month, UUID], bool]:
    """Return whether each user is a service account in the origin month.

    A user who was reported only after the close has no licensed row in that month, so the state
    in the booking month applies.
    """
    users = {
        each.user.id
        for corrections in by_origin.values()
        for each in corrections
        if each.figure is Figure.LICENSED_USERS and each.user is not None
    }
    if not users:
        return {}
    months: set[date] = {origin.first_day for origin in by_origin} | {booked.first_day}
    known = await read_service_accounts(read, months, users)
    return {
        (origin, user): known.get((origin, user), known.get((booked, user), False))
        for origin in by_origin
        for user in users
    }


async def _read_corrected_memberships(
    read: RowReader, origin: Month, corrections: Sequence[ChargeCorrection]
) -> Mapping[UUID, Sequence[Party]]:
    """Return the corrected memberships of a closed month, which decide who pays for a user."""
    users = {each.user.id for each in corrections if each.user is not None}
    memberships = await read_memberships(read, origin.first_day)
    corrected = {user: list(memberships.get(user, ())) for user in users}
    for each in corrections:
        if each.figure is Figure.MEMBERS and each.user is not None and each.workspace is not None:
            workspaces = corrected[each.user.id]
            if each.amount > 0:
                workspaces.append(each.workspace)
            elif each.workspace in workspaces:
                workspaces.remove(each.workspace)
    return {user: sorted(workspaces, key=_by_name) for user, workspaces in corrected.items()}


def _by_name(party: Party) -> tuple[str, UUID]:
    return party.name, party.id


def _to_usage(
    corrections: Sequence[ChargeCorrection],
    origin: Month,
    memberships: Mapping[UUID, Sequence[Party]],
    service_accounts: Mapping[tuple[Month, UUID], bool],
) -> Usage:
    workspaces: dict[Measure, dict[Party, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    users: dict[Measure, dict[Party, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for each in corrections:
        if each.workspace is not None and each.figure is Figure.BYTE_MICROSECONDS:
            quantity = storage_quantity(each.amount, origin)
            workspaces[Measure.STORAGE][each.workspace] += quantity
        elif each.workspace is not None and each.figure is Figure.EXPERIMENTS_CREATED:
            workspaces[Measure.EXPERIMENTS_CREATED][each.workspace] += each.amount
        elif each.user is not None and (measure := _user_measure(each, service_accounts)):
            users[measure][each.user] += each.amount
    return Usage(
        {key: [WorkspaceQuantity(*item) for item in of.items()] for key, of in workspaces.items()},
        {key: [UserQuantity(*item) for item in of.items()] for key, of in users.items()},
        memberships,
    )


def _user_measure(
    correction: ChargeCorrection, service_accounts: Mapping[tuple[Month, UUID], bool]
) -> Measure | None:
    if correction.figure is Figure.LICENSED_USERS and correction.user is not None:
        is_service_account = service_accounts[correction.origin, correction.user.id]
        return Measure.SERVICE_ACCOUNTS if is_service_account else Measure.SEATS
    return _MEASURE_OF_USAGE.get(correction.figure)


_MEASURE_OF_USAGE = {Figure.UI_USAGE: Measure.UI_USES, Figure.SDK_USAGE: Measure.SDK_USES}
