"""A licensed user."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.changes import compared_columns
from resolvers.levels import UserKey
from resolvers.rows import Grouped, Selection
from resolvers.users import (
    ANY_USER,
    UserCriteria,
    changes_of_users,
    previous_licensed_users,
)
from schema.change import Months, UserChange
from schema.conversions import from_hundredths, to_id, to_start_of_day
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_KEY = ("organization_id", "window", "user_id")
_LicensedUserOrNull = Annotated["LicensedUser", strawberry.lazy("schema.user")] | None


@strawberry.enum(description="How users are ordered; ties by username.")
class UserOrder(Enum):
    """How users are ordered."""

    USERNAME = strawberry.enum_value("USERNAME", description="By username, in code-point order.")
    SIZE = strawberry.enum_value("SIZE", description="By total size, the largest first.")
    EXPERIMENTS = strawberry.enum_value(
        "EXPERIMENTS", description="By number of experiments, the largest first."
    )
    AVERAGE_SIZE = strawberry.enum_value(
        "AVERAGE_SIZE", description="By average size over the month, the largest first."
    )
    GROWTH = strawberry.enum_value(
        "GROWTH",
        description="By how much the average size grew against the month before, the largest "
        "growth first. What is new grew by all of its size.",
    )
    CREATED_AT = strawberry.enum_value(
        "CREATED_AT", description="By creation time, the oldest first."
    )
    LAST_ACTIVITY = strawberry.enum_value(
        "LAST_ACTIVITY",
        description="By `lastActivityAt`, the longest ago first. Users without one come before "
        "all others.",
    )


@strawberry.input(description="Criteria for users; a user must match all of them.")
class UserFilter:
    """Criteria for users."""

    username_contains: str | None = strawberry.field(
        default=None, description="Text that the username contains, ignoring case."
    )
    suspended: bool | None = strawberry.field(
        default=None, description="If true, only suspended users; if false, only the others."
    )
    service_account: bool | None = strawberry.field(
        default=None, description="If true, only service accounts; if false, only the others."
    )
    idle_since: date | None = strawberry.field(
        default=None,
        description="Only users who have been idle since this day, 00:00 UTC: they existed, their "
        "usage was measured, and they neither used the platform nor created or resized an "
        "experiment. Nobody matches a day before `usageMeasuredFrom`; see `activityWarnings`.",
    )
    active_since: date | None = strawberry.field(
        default=None,
        description="Only users who used the platform, or created or resized an experiment, since "
        "this day, 00:00 UTC.",
    )
    unknown_since: date | None = strawberry.field(
        default=None,
        description="Only users who match neither `idleSince` nor `activeSince` this day: they "
        "are newer, or their usage was not measured all the time since.",
    )


def to_user_criteria(criteria: UserFilter | None) -> UserCriteria:
    """Convert the argument `filter` for the resolvers."""
    if criteria is None:
        return ANY_USER
    return UserCriteria(
        criteria.username_contains,
        criteria.suspended,
        criteria.service_account,
        to_start_of_day(criteria.idle_since),
        to_start_of_day(criteria.active_since),
        to_start_of_day(criteria.unknown_since),
    )


@strawberry.type(description="Some of the licensed users of a month, added up.")
class UserSubtotal:
    """Some of the licensed users of a month, added up."""

    number_of_users: int = column(description="How many users match.")
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; else what the month charges for "
        "their seats and uses. Of idle users, this is what the month would cost less without them."
    )


@strawberry.enum(description="What a user may do.")
class Role(Enum):
    """What a user may do."""

    ADMIN = strawberry.enum_value("ADMIN", description="May read the organization's reports.")
    MEMBER = strawberry.enum_value("MEMBER", description="May use the platform.")


@strawberry.type(
    description="A user who was created before the month ended and not deleted before it began, "
    "in the state at the month's end. Includes suspended users and service accounts."
)
class LicensedUser:
    """A user who is licensed in one report month."""

    id: strawberry.ID = column(
        "organization_id", "window", "user_id", convert=to_id, description=ID_IN_REPORT
    )
    user_id: strawberry.ID = column(
        description="Derived from the username, so it is the same in every month."
    )
    username: str = column(description="Unique in the organization.")
    email: str | None = column(
        description="Null when no source has sent an email address; otherwise the latest one."
    )
    role: Role = column(description="What the user may do.")
    created_at: datetime = column(
        description="When the user was created. If `createdAtIsInferred`, when the user was first "
        "seen."
    )
    created_at_is_inferred: bool = column(
        description="Whether no source states when the user was created, so that `createdAt` is "
        "the time of the first event about the user."
    )
    deleted_at: datetime | None = column(
        description="Null when the user was not deleted within the month; otherwise the time of "
        "the deletion."
    )
    suspended: bool = column(description="Whether the user is suspended.")
    service_account: bool = column(description="Whether the user is a program.")
    ui_usage_count: BigInt | None = column(
        description="Null when no source measures UI usage; otherwise the number of UI uses in "
        "the month."
    )
    ui_usage_updated_at: datetime | None = column(
        "ui_used_at",
        description="Null when the user did not use the UI in the month; otherwise the last use.",
    )
    sdk_usage_count: BigInt | None = column(
        description="Null when no source measures SDK usage; otherwise the number of SDK uses in "
        "the month."
    )
    sdk_usage_updated_at: datetime | None = column(
        "sdk_used_at",
        description="Null when the user did not use the SDK in the month; otherwise the last use.",
    )
    last_used_at: datetime | None = column(
        description="Null when the user never used the UI or SDK; otherwise the last use, in this "
        "month or an earlier one."
    )
    last_activity_at: datetime | None = column(
        description="Null when no use is known, nor an experiment of the user that was created or "
        "resized; otherwise the last of these, in this month or an earlier one. Channels that "
        "are not measured are not part of it; see `activityWarnings`."
    )
    number_of_experiments: BigInt = column(
        "experiments",
        description="Number of experiments that the user owns in all workspaces at the report's "
        "end.",
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: BigInt | None = column(
        description="Null when an imported report states the month; otherwise the number of "
        "experiments that the user created within the month, including those deleted since."
    )
    total_size_in_mb: float = column(
        "size_in_mb",
        description="Size of these experiments, in MB of 1,048,576 bytes, rounded half up to two "
        "decimals.",
    )
    total_size_bytes: BigInt = column(
        "size_bytes", description="Size of these experiments, in bytes."
    )
    average_size_in_mb: float | None = column(
        "average_hundredths",
        convert=from_hundredths,
        description="Null when an imported report states the month; otherwise the average size "
        "over the month, or over its part up to now, in MB.",
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; else what the month "
        "charges for the user's seat and uses. Experiments are charged to their workspaces."
    )

    @batched(
        key=_KEY,
        graphql_type=_LicensedUserOrNull,
        description="Null when the user was not licensed in the earlier month; otherwise the user "
        "in that month.",
    )
    async def previous(
        info: RequestInfo,
        users: Sequence[UserKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_licensed_users(info.context, users, selection, months)

    @batched(
        key=_KEY,
        reads=compared_columns,
        graphql_type=UserChange,
        description="How the user differs from an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[tuple[Any, ...]],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_users(info.context, keys, selection, months)


UserFilterArgument = Annotated[
    UserFilter | None, strawberry.argument(description="Only users that match.")
]
UserOrderArgument = Annotated[
    UserOrder, strawberry.argument(description="The order; by default by username.")
]
