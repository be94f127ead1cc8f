"""The charges of a month: computed while it is open, read once it is closed."""

import asyncio
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from uuid import UUID

from app.db.charges import (
    UserUsage,
    WorkspaceUsage,
    read_booked_charges,
    read_memberships,
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
    WorkspaceQuantity,
    charge_month,
    storage_quantity,
)
from app.domain.months import Month
from app.domain.rates import USER_MEASURES, WORKSPACE_MEASURES, Measure, Tariff
from resolvers.context import Context
from resolvers.corrected_months import read_corrected_months, to_user_quantities
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
    corrected = await read_corrected_months(read, card, window.month)
    lines = await asyncio.to_thread(charge_month, tariff, usage, corrected)
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
        _workspace_quantities(workspaces, tariff.month), to_user_quantities(users), memberships
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
