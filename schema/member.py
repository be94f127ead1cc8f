"""A member of a workspace."""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

import strawberry
from strawberry import Info

from resolvers.context import Context
from resolvers.levels import UserKey
from resolvers.rows import Grouped, Selection
from resolvers.users import licensed_users
from schema.conversions import from_hundredths
from schema.descriptions import UNMEASURED
from schema.execution import batched, column
from schema.scalars import BigInt
from schema.user import LicensedUser


@strawberry.enum(description="How members are ordered; ties by username.")
class MemberOrder(Enum):
    """How members are ordered."""

    USERNAME = strawberry.enum_value("USERNAME", description="By username, in code-point order.")
    SIZE = strawberry.enum_value("SIZE", description="By total size, the largest first.")
    EXPERIMENTS = strawberry.enum_value(
        "EXPERIMENTS", description="By number of experiments, the largest first."
    )


@strawberry.type(
    description="A user's part of a workspace: the experiments there that the user owns."
)
class Member:
    """A user's part of a workspace."""

    user_name: str = column("username", description="Unique in the organization.")
    email: str | None = column(
        description="Null when no source has sent one; else the latest email address."
    )
    number_of_experiments: int = column(
        "experiments",
        description="Experiments that the user owns in this workspace at the report's end.",
    )
    unmeasured_experiments: int = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: int | None = column(
        description="Null when an imported report states the month; else "
        "experiments that the user created in this workspace within the month, deleted ones "
        "included."
    )
    total_size_in_mb: float = column(
        "size_in_mb",
        description="What these experiments hold, in MB of 1,048,576 bytes, two decimals, half "
        "up.",
    )
    total_size_bytes: BigInt = column(
        "size_bytes", description="What these experiments hold, in bytes."
    )
    average_size_in_mb: float | None = column(
        "average_hundredths",
        convert=from_hundredths,
        description="Null when an imported report states the month; else what "
        "they held on average over the month, or over the part of it that has passed, in MB.",
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; else the share of the "
        "member's experiments in what the workspace is charged. Seats are charged to the user."
    )

    @batched(
        key=("organization_id", "window", "user_id"),
        graphql_type=LicensedUser | None,
        description="Null when the user is not licensed in the month; else the account, with "
        "its figures of all workspaces.",
    )
    async def user(
        info: Info[Context, Any], users: Sequence[UserKey], selection: Selection
    ) -> Grouped:
        return await licensed_users(info.context, users, selection)
