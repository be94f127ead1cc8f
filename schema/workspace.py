"""A workspace, with its members and projects."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry

from resolvers.changes import compared_columns
from resolvers.levels import WorkspaceKey, parse_id_page, parse_page
from resolvers.members import former_members_of_workspaces, members_of_workspaces
from resolvers.projects import (
    former_projects_of_workspaces,
    gone_projects_of_workspaces,
    projects_of_workspaces,
)
from resolvers.rows import Grouped, Selection
from resolvers.workspaces import changes_of_workspaces, previous_workspaces
from schema.arguments import AfterId, AfterUsername, First, InDirection, to_sorting
from schema.change import Months, WorkspaceChange
from schema.connection import connection
from schema.conversions import from_hundredths, to_id
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column
from schema.member import Member, MemberOrder
from schema.project import (
    Project,
    ProjectFilterArgument,
    ProjectOrder,
    ProjectOrderArgument,
    to_project_criteria,
)
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_KEY = ("organization_id", "window", "workspace_id")
_WorkspaceOrNull = Annotated["Workspace", strawberry.lazy("schema.workspace")] | None


@strawberry.enum(description="How workspaces are ordered; ties by id.")
class WorkspaceOrder(Enum):
    """How workspaces are ordered."""

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


@strawberry.input(description="Criteria for workspaces; a workspace must match all of them.")
class WorkspaceFilter:
    """Criteria for workspaces."""

    name_contains: str | None = strawberry.field(
        default=None, description="Text that the name contains, ignoring case."
    )
    minimum_size_bytes: BigInt | None = strawberry.field(
        default=None, description="Only workspaces with at least this total size, in bytes."
    )


_MemberOrder = Annotated[
    MemberOrder, strawberry.argument(description="The order; by default by username.")
]


@strawberry.type(description="A workspace as charged in one report month.")
class Workspace:
    """A workspace as charged in one report month."""

    id: strawberry.ID = column(*_KEY, convert=to_id, description=ID_IN_REPORT)
    workspace_id: strawberry.ID = column(
        description="Derived from the name, so it is the same in every month."
    )
    name: str = column(description="Unique in the organization.")
    number_of_members: int = column(description="Number of members at the report's end.")
    number_of_projects: int = column(description="Number of projects at the report's end.")
    last_activity_at: datetime | None = column(
        description="Null when no event says that an experiment was created or resized in the "
        "workspace; otherwise the last such time, in this month or an earlier one. Uses "
        "of the platform are measured per user, not per workspace."
    )
    number_of_experiments: BigInt = column(
        "experiments", description="Number of experiments in the workspace at the report's end."
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: BigInt | None = column(
        description="Null when an imported report states the month; otherwise the number of "
        "experiments created in the workspace within the month, including those deleted since."
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
        description="Null when nothing is charged in the month; else what the month "
        "charges for the workspace's storage and experiments, deleted ones included. Projects "
        "and former projects add up to it, and so do members and former members."
    )

    @batched(
        key=_KEY,
        graphql_type=list[Member],
        description="Members at the report's end. Empty when there are none.",
    )
    async def members(
        info: RequestInfo,
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: _MemberOrder = MemberOrder.USERNAME,
        direction: InDirection = None,
    ) -> Grouped:
        return await members_of_workspaces(
            info.context,
            workspaces,
            selection,
            sorting=to_sorting(order_by, direction),
            page=parse_page(first, after, selection),
        )

    members_connection = connection(members, Member, "username", name="membersConnection")

    @batched(
        key=_KEY,
        graphql_type=list[Member],
        description="Owners of experiments in the workspace who are not members at the report's "
        "end. Members and former members add up to the workspace exactly. Empty when every owner "
        "is a member.",
    )
    async def former_members(
        info: RequestInfo,
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: _MemberOrder = MemberOrder.USERNAME,
        direction: InDirection = None,
    ) -> Grouped:
        return await former_members_of_workspaces(
            info.context,
            workspaces,
            selection,
            sorting=to_sorting(order_by, direction),
            page=parse_page(first, after),
        )

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects at the report's end. Empty when there are none.",
    )
    async def projects(
        info: RequestInfo,
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: ProjectOrderArgument = ProjectOrder.NAME,
        direction: InDirection = None,
        filter: ProjectFilterArgument = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        return await projects_of_workspaces(
            info.context,
            workspaces,
            selection,
            matching=to_project_criteria(filter),
            sorting=to_sorting(order_by, direction),
            page=parse_id_page(first, after, selection),
        )

    projects_connection = connection(projects, Project, "project_id", name="projectsConnection")

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects that were deleted within the month and have figures in it, by name. "
        "Their stocks are 0; their flows count in the workspace. Empty when there are none.",
    )
    async def former_projects(
        info: RequestInfo, workspaces: Sequence[WorkspaceKey], selection: Selection
    ) -> Grouped:
        return await former_projects_of_workspaces(info.context, workspaces, selection)

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects that had figures in an earlier month and have none in this one, "
        "by name. Their figures are those of this month: 0. Empty when there are none.",
    )
    async def gone_projects(
        info: RequestInfo,
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await gone_projects_of_workspaces(info.context, workspaces, selection, months)

    @batched(
        key=_KEY,
        graphql_type=_WorkspaceOrNull,
        description="Null when the workspace did not exist at the end of the earlier month and "
        "had no figures in it; otherwise the workspace in that month.",
    )
    async def previous(
        info: RequestInfo,
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_workspaces(info.context, workspaces, selection, months)

    @batched(
        key=_KEY,
        reads=compared_columns,
        graphql_type=WorkspaceChange,
        description="How the workspace differs from an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[tuple[Any, ...]],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_workspaces(info.context, keys, selection, months)
