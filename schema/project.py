"""A project of a workspace."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.changes import compared_columns
from resolvers.levels import PartKey
from resolvers.projects import (
    ANY_PROJECT,
    ProjectCriteria,
    changes_of_projects,
    previous_projects,
)
from resolvers.rows import Grouped, Selection
from schema.change import Months, ProjectChange
from schema.conversions import from_hundredths, to_id, to_start_of_day
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_KEY = ("organization_id", "window", "workspace_id", "project_id")
_ProjectOrNull = Annotated["Project", strawberry.lazy("schema.project")] | None


@strawberry.enum(description="How projects are ordered; ties by id.")
class ProjectOrder(Enum):
    """How projects are ordered."""

    NAME = strawberry.enum_value("NAME", description="By name, in code-point order.")
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


@strawberry.input(description="Criteria for projects.")
class ProjectFilter:
    """Criteria for projects."""

    name_contains: str | None = strawberry.field(
        default=None, description="Text that the name contains, ignoring case."
    )
    idle_since: date | None = strawberry.field(
        default=None,
        description="Only projects in which no experiment was created or resized since this day, "
        "00:00 UTC. Projects without a `lastActivityAt` do not match; see `activityWarnings`.",
    )


def to_project_criteria(criteria: ProjectFilter | None) -> ProjectCriteria:
    """Convert the argument `filter` for the resolvers."""
    if criteria is None:
        return ANY_PROJECT
    return ProjectCriteria(criteria.name_contains, to_start_of_day(criteria.idle_since))


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
    workspace: str = column("workspace_name", description="The name of its workspace.")
    last_activity_at: datetime | None = column(
        description="Null when no event says that an experiment was created or resized in the "
        "project; otherwise the last such time, in this month or an earlier one. Uses "
        "of the platform are measured per user, not per project."
    )
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

    @batched(
        key=_KEY,
        graphql_type=_ProjectOrNull,
        description="Null when the project did not exist at the end of the earlier month and "
        "had no figures in it; otherwise the project in that month.",
    )
    async def previous(
        info: RequestInfo,
        projects: Sequence[PartKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_projects(info.context, projects, selection, months)

    @batched(
        key=_KEY,
        reads=compared_columns,
        graphql_type=ProjectChange,
        description="How the project differs from an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[tuple[Any, ...]],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_projects(info.context, keys, selection, months)


ProjectOrderArgument = Annotated[
    ProjectOrder, strawberry.argument(description="The order; by default by name.")
]
ProjectFilterArgument = Annotated[
    ProjectFilter | None, strawberry.argument(description="Only projects that match.")
]
