"""A project of a workspace."""

from decimal import Decimal
from enum import Enum

import strawberry

from schema.conversions import from_hundredths, to_id
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import column
from schema.scalars import BigInt


@strawberry.enum(description="How projects are ordered; ties by id.")
class ProjectOrder(Enum):
    """How projects are ordered."""

    NAME = strawberry.enum_value("NAME", description="By name, in code-point order.")
    SIZE = strawberry.enum_value("SIZE", description="By total size, the largest first.")
    EXPERIMENTS = strawberry.enum_value(
        "EXPERIMENTS", description="By number of experiments, the largest first."
    )


@strawberry.type(description="A project as charged in one report month.")
class Project:
    """A project as charged in one report month."""

    id: strawberry.ID = column(
        "organization_id", "window", "project_id", convert=to_id, description=ID_IN_REPORT
    )
    project_id: strawberry.ID = column(
        description="Derived from the names of workspace and project, so it is the same in every "
        "month."
    )
    name: str = column(description="Unique in its workspace.")
    number_of_experiments: BigInt = column(
        "experiments", description="Number of experiments in the project at the report's end."
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: BigInt | None = column(
        description="Null when an imported report states the month; otherwise the number of "
        "experiments created in the project within the month, including those deleted since."
    )
    total_size_in_mb: float = column(
        "size_in_mb",
        description="Size of these experiments at the report's end, in MB of 1,048,576 bytes, "
        "rounded half up to two decimals.",
    )
    total_size_bytes: BigInt = column(
        "size_bytes", description="Size of these experiments at the report's end, in bytes."
    )
    average_size_in_mb: float | None = column(
        "average_hundredths",
        convert=from_hundredths,
        description="Null when an imported report states the month; otherwise the average size "
        "over the month, or over its part up to now, in MB. Storage is charged by this average.",
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; else the project's "
        "share in what its workspace is charged."
    )
