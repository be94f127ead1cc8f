"""The licensed users of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.db.levels import ALL, Page
from app.db.users import select_licensed_users, select_licensed_users_of_reports
from resolvers.context import Context
from resolvers.levels import ReportKey, UserKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


@dataclass(frozen=True, slots=True)
class UserCriteria:
    """Which users are wanted; what is None does not matter."""

    username_contains: str | None = None
    suspended: bool | None = None
    service_account: bool | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What was given, by name."""
        wanted = {
            "username_contains": self.username_contains or None,
            "suspended": self.suspended,
            "service_account": self.service_account,
        }
        return {name: value for name, value in wanted.items() if value is not None}


ANY_USER = UserCriteria()


async def licensed_users_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: UserCriteria = ANY_USER,
    order: str = "USERNAME",
    page: Page = ALL,
) -> Grouped:
    """Users created before each month ended and not deleted before it began.

    Returns:
        Rows grouped by report, each group in `order`: by username, by size or experiments from
        the largest, or by creation; ties by username. Columns: user_id, username, email, role,
        created_at, deleted_at (within the month), suspended, service_account; ui_usage_count and
        sdk_usage_count (null where the channel is not measured), ui_used_at and sdk_used_at (the
        last in the month), last_used_at (the last ever); experiments, experiments_created,
        size_bytes, average_hundredths (of a MB). Those outside `selection` are not computed.

    Source: table `user_month`.
    """
    given = matching.parameters
    select = partial(
        select_licensed_users_of_reports,
        selection,
        matching=frozenset(given),
        order=order,
        paging=page.paging,
    )
    return await read_level(context, select, reports, **given, **page.parameters)


def stream_licensed_users(
    context: Context, report: ReportKey, selection: Selection, size: int
) -> RowStream:
    """The same of one report, by username, `size` at a time."""
    select = partial(select_licensed_users_of_reports, selection)
    return stream_level(context, select, report, size)


async def licensed_users(
    context: Context, users: Sequence[UserKey], selection: Selection
) -> Grouped:
    """The licensed users with these keys: a group with one row each, or none.

    Returns:
        As `licensed_users_of_reports`.
    """
    select = partial(select_licensed_users, selection)
    return await read_level(context, select, users, ("user_id",))
