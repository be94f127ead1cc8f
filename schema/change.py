"""How figures differ from those of an earlier month."""

from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry

from app.domain.presence import Presence as DomainPresence
from schema.conversions import from_hundredths
from schema.execution import column, embedded
from schema.scalars import BigInt

Months = Annotated[int, strawberry.argument(description="How many months earlier, from 1 to 120.")]

_ABSOLUTE = (
    "Null when the figure is unknown in one of the months; otherwise the figure minus its earlier "
    "value. What did not exist in the earlier month counts as 0."
)
_PERCENT = (
    "Null when the earlier value is 0 or a value is unknown; otherwise the change in percent of "
    "the earlier value, rounded half up to two decimals."
)


@strawberry.enum(
    description="Whether something exists in a month, compared with an earlier month."
)
class Presence(Enum):
    """Whether something exists in a month, compared with an earlier month."""

    NEW = strawberry.enum_value(
        DomainPresence.NEW.value,
        description="It exists, and in the earlier month it neither existed nor had figures.",
    )
    KEPT = strawberry.enum_value(
        DomainPresence.KEPT.value, description="It exists in both months."
    )
    GONE = strawberry.enum_value(
        DomainPresence.GONE.value, description="It does not exist at this month's end."
    )


def _to_presence(name: str) -> Presence:
    return Presence[name]


@strawberry.type(description="The change of a whole number.")
class CountChange:
    """The change of a whole number."""

    absolute: BigInt | None = column(description=_ABSOLUTE)
    percent: float | None = column(description=_PERCENT)


@strawberry.type(description="The change of a size in MB, as both sizes are rounded.")
class SizeChange:
    """The change of a size."""

    absolute: float | None = column(convert=from_hundredths, description=_ABSOLUTE)
    percent: float | None = column(description=_PERCENT)


@strawberry.type(description="The change of an amount of money.")
class AmountChange:
    """The change of an amount."""

    absolute: Decimal | None = column(description=_ABSOLUTE)
    percent: float | None = column(description=_PERCENT)


@strawberry.type
class StorageChange:
    """The changes of the figures that everything with experiments has."""

    number_of_experiments: CountChange = embedded(
        prefix="experiments.", description="The change of `numberOfExperiments`."
    )
    unmeasured_experiments: CountChange = embedded(
        prefix="unmeasured.", description="The change of `unmeasuredExperiments`."
    )
    experiments_created: CountChange = embedded(
        prefix="experiments_created.", description="The change of `experimentsCreated`."
    )
    total_size_in_mb: SizeChange = embedded(
        prefix="size_in_mb.", description="The change of `totalSizeInMb`."
    )
    total_size_bytes: CountChange = embedded(
        prefix="size_bytes.", description="The change of `totalSizeBytes`."
    )
    average_size_in_mb: SizeChange = embedded(
        prefix="average_hundredths.", description="The change of `averageSizeInMb`."
    )
    amount: AmountChange = embedded(prefix="amount.", description="The change of `amount`.")


@strawberry.type
class _EntityChange(StorageChange):
    """The changes of something that can be new or gone."""

    presence: Presence = column(
        convert=_to_presence, description="Whether it is new, was there before, or is gone."
    )


@strawberry.type(description="How an organization's totals differ from those of an earlier month.")
class ReportChange(StorageChange):
    """How the totals of a report differ from those of an earlier month."""

    number_of_workspaces: CountChange = embedded(
        prefix="number_of_workspaces.", description="The change of `numberOfWorkspaces`."
    )
    number_of_users: CountChange = embedded(
        prefix="number_of_users.", description="The change of `users { numberOfUsers }`."
    )


@strawberry.type(description="How a workspace differs from an earlier month.")
class WorkspaceChange(_EntityChange):
    """How a workspace differs from an earlier month."""

    number_of_members: CountChange = embedded(
        prefix="number_of_members.", description="The change of `numberOfMembers`."
    )
    number_of_projects: CountChange = embedded(
        prefix="number_of_projects.", description="The change of `numberOfProjects`."
    )


@strawberry.type(description="How a project differs from an earlier month.")
class ProjectChange(_EntityChange):
    """How a project differs from an earlier month."""


@strawberry.type(description="How a member differs from an earlier month.")
class MemberChange(_EntityChange):
    """How a member differs from an earlier month."""


@strawberry.type(description="How a licensed user differs from an earlier month.")
class UserChange(_EntityChange):
    """How a licensed user differs from an earlier month."""

    ui_usage_count: CountChange = embedded(
        prefix="ui_usage_count.", description="The change of `uiUsageCount`."
    )
    sdk_usage_count: CountChange = embedded(
        prefix="sdk_usage_count.", description="The change of `sdkUsageCount`."
    )
