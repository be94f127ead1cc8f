"""Uses by users without a licence: no report lists these users, and nobody pays for their uses."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from uuid import UUID

from app.db.rate_card import read_rate_card
from app.db.report_windows import ReportWindow
from app.db.row_reader import read_from_snapshot
from app.db.unlicensed_usage import select_licensed_names, select_unlicensed_usage_of_reports
from app.domain.charges import ChargeLine, Party, Usage, UserQuantity, charge_month
from app.domain.months import Month
from app.domain.rates import Assignments, Measure, RateCard, Tariff
from resolvers.amounts import AMOUNT
from resolvers.context import Context
from resolvers.levels import ReportKey, parse_page, read_level
from resolvers.rows import Grouped, Row, Selection, positions

_MEASURES = (Measure.UI_USES, Measure.SDK_USES)
_USER_ID, _USERNAME, _UI, _SDK = range(1, 5)
"""The positions of the columns, after the report's ordinal."""


async def unlicensed_usage_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Return what users without a licence used, one row per report.

    Columns:

    - `number_of_users`: how many they are
    - `ui_usage_count`, `sdk_usage_count`: null if no source measures the channel
    - `amount`, if selected: what their uses cost at the month's prices; null if nothing is charged

    Source: `user_month`; for amounts the rate card.
    """
    found = await read_level(context, select_unlicensed_usage_of_reports, reports)
    tariffs = await _read_tariffs(context, reports, selection)
    groups = [
        [
            (
                len(rows),
                sum(row[_UI] for row in rows) if window.ui_measured else None,
                sum(row[_SDK] for row in rows) if window.sdk_measured else None,
                await _total(tariff, rows),
            )
        ]
        for (_, window), tariff, rows in zip(reports, tariffs, found.groups, strict=True)
    ]
    names = ("number_of_users", "ui_usage_count", "sdk_usage_count", AMOUNT)
    return Grouped(positions(names), groups, dict(found.group_columns))


async def unlicensed_users_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    first: int | None = None,
    after: str | None = None,
) -> Grouped:
    """Return the users without a licence who used the platform, by report and username.

    Columns:

    - `username`
    - `ui_usage_count`, `sdk_usage_count`: null if no source measures the channel
    - `amount`, if selected: the user's part of the report's amount
    - `similar_username`, if selected: a licensed user whose name differs in case only, or null

    Raises:
        InvalidArgument: `first` or `after` is invalid.

    Source: `user_month`; for amounts the rate card.
    """
    page = parse_page(first, after)
    found = await read_level(context, select_unlicensed_usage_of_reports, reports)
    tariffs = await _read_tariffs(context, reports, selection)
    pages = [
        [row for row in rows if after is None or row[_USERNAME] > after][: page.first]
        for rows in found.groups
    ]
    similar: Mapping[tuple[Month, str], str] = {}
    if "similar_username" in selection:
        similar = await _find_similar(context, reports, pages)
    groups = []
    for (_, window), tariff, rows, of_page in zip(
        reports, tariffs, found.groups, pages, strict=True
    ):
        amounts = await _amounts(tariff, rows)
        groups.append([_to_user(window, tariff, row, amounts, similar) for row in of_page])
    names = ("username", "ui_usage_count", "sdk_usage_count", AMOUNT, "similar_username")
    return Grouped(positions(names), groups)


def _to_user(
    window: ReportWindow,
    tariff: Tariff | None,
    row: Row,
    amounts: Mapping[UUID, int],
    similar: Mapping[tuple[Month, str], str],
) -> Row:
    minor = amounts.get(row[_USER_ID], 0)
    return (
        row[_USERNAME],
        row[_UI] if window.ui_measured else None,
        row[_SDK] if window.sdk_measured else None,
        tariff.currency.from_minor(minor) if tariff else None,
        similar.get((window.month, row[_USERNAME].lower())),
    )


async def _read_tariffs(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Sequence[Tariff | None]:
    """Return the prices of uses in each month; None if no amount is selected or charged."""
    if AMOUNT not in selection:
        return [None for _ in reports]
    card = await read_rate_card(read_from_snapshot(context.snapshot, reports[0][0]))
    return [
        _prices_of_uses(card, window.month) if window.flows_known else None
        for _, window in reports
    ]


def _prices_of_uses(card: RateCard, month: Month) -> Tariff | None:
    """Return the prices of uses alone, without assignments: nobody pays."""
    tariff = card.tariff(month)
    if tariff is None:
        return None
    rates = [priced for priced in tariff.rates if priced.rate.measure in _MEASURES]
    return tariff._replace(rates=rates, assignments=Assignments({}, {}))


async def _total(tariff: Tariff | None, rows: Sequence[Row]) -> object:
    if tariff is None:
        return None
    return tariff.currency.from_minor(sum((await _amounts(tariff, rows)).values()))


async def _amounts(tariff: Tariff | None, rows: Sequence[Row]) -> Mapping[UUID, int]:
    """Return the minor units of each user; they add up to the rounded totals of the rates."""
    if tariff is None or not rows:
        return {}
    amounts: dict[UUID, int] = defaultdict(int)
    for line in await asyncio.to_thread(_price, tariff, rows):
        if line.user is not None:
            amounts[line.user.id] += line.booked
    return amounts


def _price(tariff: Tariff, rows: Sequence[Row]) -> Sequence[ChargeLine]:
    users = [Party(row[_USER_ID], row[_USERNAME]) for row in rows]
    quantities = {
        measure: [
            UserQuantity(user, Fraction(row[position]))
            for user, row in zip(users, rows, strict=True)
        ]
        for measure, position in zip(_MEASURES, (_UI, _SDK), strict=True)
    }
    return charge_month(tariff, Usage({}, quantities, {}))


async def _find_similar(
    context: Context, reports: Sequence[ReportKey], pages: Sequence[Sequence[Row]]
) -> Mapping[tuple[Month, str], str]:
    """Return licensed usernames by month and lower-case name: one more statement."""
    names = sorted({row[_USERNAME].lower() for rows in pages for row in rows})
    if not names:
        return {}
    months = sorted({window.month.first_day for _, window in reports})
    bound = {"months": months, "names": names}
    rows = await context.snapshot.fetch_rows(
        select_licensed_names(), bound, organization_id=reports[0][0]
    )
    return {(Month.containing(month), name.lower()): name for month, name in rows}
