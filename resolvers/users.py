"""The licensed users of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from app.db.orders import ALL_ROWS, BY_USERNAME, Page, Sorting
from app.db.users import (
    select_gone_users,
    select_licensed_users,
    select_licensed_users_of_reports,
)
from resolvers.amounts import AMOUNT, add_amounts_of_users, select_for_amount
from resolvers.changes import compare
from resolvers.charges import charges_of_report
from resolvers.connections import TOTAL_COUNT
from resolvers.context import Context
from resolvers.levels import ReportKey, UserKey, read_gone, read_level, read_list, stream_level
from resolvers.report_windows import previous_keys
from resolvers.rows import Grouped, Row, RowStream, Selection


@dataclass(frozen=True, slots=True)
class UserCriteria:
    """Criteria for users; None matches every user.

    `idle_since` matches users who existed at that time and have done nothing since, if usage has
    been measured since before then. `active_since` matches users with activity since that time,
    and `unknown_since` matches the others: they may or may not have been active.
    """

    username_contains: str | None = None
    suspended: bool | None = None
    service_account: bool | None = None
    idle_since: datetime | None = None
    active_since: datetime | None = None
    unknown_since: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The criteria that are set, by parameter name."""
        criteria = {
            "username_contains": self.username_contains or None,
            "suspended": self.suspended,
            "service_account": self.service_account,
            "idle_since": self.idle_since,
            "active_since": self.active_since,
            "unknown_since": self.unknown_since,
        }
        return {name: value for name, value in criteria.items() if value is not None}


ANY_USER = UserCriteria()


async def licensed_users_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: UserCriteria = ANY_USER,
    sorting: Sorting = BY_USERNAME,
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the licensed users: created before the month ended, not deleted before it began.

    Rows are grouped by report. The orders are USERNAME, CREATED_AT with the oldest first,
    LAST_ACTIVITY with never and the longest ago first, and those of `workspaces_of_reports` by a
    figure; ties are sorted by username. Columns outside `selection` are not computed:

    - `user_id`, `username`, `email`, `role`, `suspended`, `service_account`
    - `present`: whether the user was not deleted within the month
    - `created_at`; `deleted_at`: null unless deleted within the month
    - `ui_usage_count`, `sdk_usage_count`: null if no source measures the channel
    - `ui_used_at`, `sdk_used_at`: last use within the month; `last_used_at`: last use ever
    - `last_activity_at`: last use, or last experiment created, moved or resized, ever
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: charged for seats and uses; null when nothing is charged in the month

    Source: `user_month`.
    """
    found = await read_list(
        context,
        partial(select_licensed_users_of_reports, select_for_amount(selection, "user_id")),
        reports,
        sorting=sorting,
        page=page,
        matching=matching.parameters,
    )
    return await add_amounts_of_users(context, reports, selection, found)


async def user_subtotals_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection, matching: UserCriteria
) -> Grouped:
    """Count the licensed users of each report that match, and add up what they are charged.

    Columns: `number_of_users`; `amount`: null when nothing is charged in the month.
    """
    is_charged = AMOUNT in selection and any(
        [await charges_of_report(context, report) is not None for report in reports]
    )
    page = Page() if is_charged else Page(first=0, is_counted=True)
    columns = Selection({AMOUNT} if is_charged else {TOTAL_COUNT})
    found = await licensed_users_of_reports(
        context, reports, columns, matching=matching, page=page
    )
    groups: list[Sequence[Row]] = []
    for report, rows in zip(reports, found.groups, strict=True):
        if not is_charged:
            groups.append([(rows[0][found.columns[TOTAL_COUNT]], None)])
            continue
        charges = await charges_of_report(context, report)
        amounts = (row[found.columns[AMOUNT]] for row in rows)
        groups.append([(len(rows), sum(amounts, Decimal()) if charges else None)])
    return Grouped({"number_of_users": 0, AMOUNT: 1}, groups)


def stream_licensed_users(
    context: Context, report: ReportKey, selection: Selection, chunk_size: int
) -> RowStream:
    """Stream the licensed users of a report, sorted by username."""
    select = partial(select_licensed_users_of_reports, selection)
    return stream_level(context, select, report, chunk_size)


async def licensed_users(
    context: Context, users: Sequence[UserKey], selection: Selection
) -> Grouped:
    """Return the licensed user with each key: one row per group, or none if not licensed.

    Columns and source are those of `licensed_users_of_reports`.
    """
    select = partial(select_licensed_users, select_for_amount(selection, "user_id"))
    found = await read_level(context, select, users, ("user_id",))
    reports = [(organization_id, window) for organization_id, window, _ in users]
    return await add_amounts_of_users(context, reports, selection, found)


async def previous_licensed_users(
    context: Context, users: Sequence[UserKey], selection: Selection, months: int
) -> Grouped:
    """Return each user so many months earlier: one row per group, or none if not licensed.

    Columns and source are those of `licensed_users_of_reports`.

    Raises:
        InvalidArgument: `months` is out of range.
    """
    keys = [(key[0], key[1], key[2]) for key in await previous_keys(context, users, months)]
    return await licensed_users(context, keys, selection)


async def changes_of_users(
    context: Context, keys: Sequence[tuple[Any, ...]], selection: Selection, months: int
) -> Grouped:
    """Return how each user differs from so many months earlier; see `compare`.

    The keys are those of the users, with the values of `compared_columns`.
    """
    read_previous = partial(previous_licensed_users, context, months=months)
    return await compare(keys, selection, read_previous, 3)


async def gone_users_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection, months: int
) -> Grouped:
    """Return the users who were licensed so many months earlier and are not now, by username.

    Columns are those of `licensed_users_of_reports`. All figures are 0: they are those of the
    report.

    Raises:
        InvalidArgument: `months` is out of range.

    Source: `user_month`.
    """
    select = partial(select_gone_users, select_for_amount(selection, "user_id"))
    previous = await previous_keys(context, reports, months)
    found = await read_gone(context, select, reports, previous)
    return await add_amounts_of_users(context, reports, selection, found)
