"""The licensed users of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.db.levels import ALL_ROWS, Page
from app.db.users import select_licensed_users, select_licensed_users_of_reports
from resolvers.amounts import add_amounts_of_users, select_for_amount
from resolvers.context import Context
from resolvers.levels import ReportKey, UserKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


@dataclass(frozen=True, slots=True)
class UserCriteria:
    """Criteria for users; None matches every user."""

    username_contains: str | None = None
    suspended: bool | None = None
    service_account: bool | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The criteria that are set, by parameter name."""
        criteria = {
            "username_contains": self.username_contains or None,
            "suspended": self.suspended,
            "service_account": self.service_account,
        }
        return {name: value for name, value in criteria.items() if value is not None}


ANY_USER = UserCriteria()


async def licensed_users_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: UserCriteria = ANY_USER,
    order: str = "USERNAME",
    page: Page = ALL_ROWS,
) -> Grouped:
    """Return the licensed users: created before the month ended, not deleted before it began.

    Rows are grouped by report. `order` is USERNAME, SIZE or EXPERIMENTS with the largest first,
    or CREATED_AT with the oldest first; ties are sorted by username. Columns outside `selection`
    are not computed:

    - `user_id`, `username`, `email`, `role`, `suspended`, `service_account`
    - `created_at`; `deleted_at`: null unless deleted within the month
    - `ui_usage_count`, `sdk_usage_count`: null if no source measures the channel
    - `ui_used_at`, `sdk_used_at`: last use within the month; `last_used_at`: last use ever
    - `experiments`, `unmeasured`, `size_bytes`, `size_in_mb`: at the report's end
    - `experiments_created`, `average_hundredths`: within the month; the latter in 1/100 MB
    - `amount`: charged for seats and uses; null when nothing is charged in the month

    Source: `user_month`.
    """
    parameters = matching.parameters
    select = partial(
        select_licensed_users_of_reports,
        select_for_amount(selection, "user_id"),
        matching=frozenset(parameters),
        order=order,
        paging=page.paging,
    )
    found = await read_level(context, select, reports, **parameters, **page.parameters)
    return await add_amounts_of_users(context, reports, selection, found)


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
