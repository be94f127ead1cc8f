"""A licensed user."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry

from schema.conversions import from_hundredths
from schema.descriptions import UNMEASURED
from schema.execution import column
from schema.scalars import BigInt


@strawberry.enum(description="How users are ordered; ties by username.")
class UserOrder(Enum):
    """How users are ordered."""

    USERNAME = strawberry.enum_value("USERNAME", description="By username, in code-point order.")
    SIZE = strawberry.enum_value("SIZE", description="By total size, the largest first.")
    EXPERIMENTS = strawberry.enum_value(
        "EXPERIMENTS", description="By number of experiments, the largest first."
    )
    CREATED_AT = strawberry.enum_value(
        "CREATED_AT", description="By creation, the oldest account first."
    )


@strawberry.input(description="Criteria for users; a user must match all of them.")
class UserFilter:
    """Criteria for users."""

    username_contains: str | None = strawberry.field(
        default=None, description="A part of the username, in any case."
    )
    suspended: bool | None = strawberry.field(
        default=None, description="Only suspended users, or only others."
    )
    service_account: bool | None = strawberry.field(
        default=None, description="Only service accounts, or only others."
    )


@strawberry.enum(description="What a user may do.")
class Role(Enum):
    """What a user may do."""

    ADMIN = strawberry.enum_value("ADMIN", description="Reads the organization's reports.")
    MEMBER = strawberry.enum_value("MEMBER", description="Uses the platform.")


@strawberry.type(
    description="A user created before the month ended and not deleted before it began, as the "
    "account stood at the month's end. Suspended users and service accounts are marked."
)
class LicensedUser:
    """A user as licensed in one report month."""

    username: str = column(description="Unique in the organization.")
    email: str | None = column(
        description="Null when no source has sent one; else the latest email address."
    )
    role: Role = column(description="What the user may do.")
    created_at: datetime = column(
        description="When the account was created or, where `createdAtIsInferred`, when it was "
        "first seen."
    )
    created_at_is_inferred: bool = column(
        description="Whether no source says when the account was created, so that `createdAt` is "
        "the first sign of it: it is at least that old."
    )
    deleted_at: datetime | None = column(
        description="Null when the account was not deleted within the month; else when it was."
    )
    suspended: bool = column(description="Whether the account is suspended.")
    service_account: bool = column(description="Whether it is a program's account.")
    ui_usage_count: BigInt | None = column(
        description="Null when no source measures UI usage; else the uses of the UI in the month."
    )
    ui_usage_updated_at: datetime | None = column(
        "ui_used_at",
        description="Null when the UI was not used in the month; else the last time.",
    )
    sdk_usage_count: BigInt | None = column(
        description="Null when no source measures SDK usage; else the uses of the SDK in the "
        "month."
    )
    sdk_usage_updated_at: datetime | None = column(
        "sdk_used_at",
        description="Null when the SDK was not used in the month; else the last time.",
    )
    last_used_at: datetime | None = column(
        description="Null when the user was never seen; else the last use of UI or SDK, in this "
        "month or before."
    )
    number_of_experiments: int = column(
        "experiments",
        description="Experiments that the user owns at the report's end, in all workspaces.",
    )
    unmeasured_experiments: int = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: int | None = column(
        description="Null when an imported report states the month; else "
        "experiments that the user created within the month, deleted ones included."
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
        description="Null when nothing is charged in the month; else what the month "
        "charges for the user's seat and uses. Experiments are charged to their workspaces."
    )


UserFilterArgument = Annotated[
    UserFilter | None, strawberry.argument(description="Only users that match.")
]
UserOrderArgument = Annotated[
    UserOrder, strawberry.argument(description="The order; by default by username.")
]
