"""A member of a workspace."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.changes import compared_columns
from resolvers.levels import PartKey, UserKey
from resolvers.members import changes_of_members, previous_members
from resolvers.rows import Grouped, Selection
from resolvers.users import licensed_users
from schema.change import MemberChange, Months
from schema.conversions import from_hundredths, to_id
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt
from schema.user import LicensedUser

_KEY = ("organization_id", "window", "workspace_id", "user_id")
_MemberOrNull = Annotated["Member", strawberry.lazy("schema.member")] | None


@strawberry.enum(description="How members are ordered; ties by username.")
class MemberOrder(Enum):
    """How members are ordered."""

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


@strawberry.type(
    description="A member of a workspace, with the experiments that the user owns in it."
)
class Member:
    """A member of a workspace."""

    id: strawberry.ID = column(
        *("organization_id", "window", "workspace_id", "user_id"),
        convert=to_id,
        description=ID_IN_REPORT,
    )
    user_id: strawberry.ID = column(
        description="Derived from the username, so it is the same in every month and workspace."
    )
    user_name: str = column("username", description="Unique in the organization.")
    email: str | None = column(
        description="Null when no source has sent an email address; otherwise the latest one."
    )
    last_activity_at: datetime | None = column(
        description="Null when no event says that the user created or resized an experiment in "
        "the workspace; otherwise the last such time, in this month or an earlier one. Uses "
        "of the platform are measured per user, not per workspace."
    )
    number_of_experiments: BigInt = column(
        "experiments",
        description="Number of experiments that the user owns in the workspace at the report's "
        "end.",
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: BigInt | None = column(
        description="Null when an imported report states the month; otherwise the number of "
        "experiments that the user created in the workspace within the month, including those "
        "deleted since."
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
        description="Null when nothing is charged in the month; else the share of the "
        "member's experiments in what the workspace is charged. Seats are charged to the user."
    )

    @batched(
        key=("organization_id", "window", "user_id"),
        graphql_type=LicensedUser | None,
        description="Null when the user is not licensed in the month; otherwise the user, with "
        "figures over all workspaces.",
    )
    async def user(info: RequestInfo, users: Sequence[UserKey], selection: Selection) -> Grouped:
        return await licensed_users(info.context, users, selection)

    @batched(
        key=_KEY,
        graphql_type=_MemberOrNull,
        description="Null when the user was no member at the end of the earlier month and had no "
        "figures in the workspace; otherwise the member in that month.",
    )
    async def previous(
        info: RequestInfo,
        members: Sequence[PartKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_members(info.context, members, selection, months)

    @batched(
        key=_KEY,
        reads=compared_columns,
        graphql_type=MemberChange,
        description="How the member differs from an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[tuple[Any, ...]],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_members(info.context, keys, selection, months)
