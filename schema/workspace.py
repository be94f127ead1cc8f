"""A workspace, with its members and projects."""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry

from resolvers.levels import WorkspaceKey, parse_id_page, parse_page
from resolvers.members import former_members_of_workspaces, members_of_workspaces
from resolvers.projects import former_projects_of_workspaces, projects_of_workspaces
from resolvers.rows import Grouped, Selection
from schema.arguments import AfterId, AfterUsername, First
from schema.connection import connection
from schema.conversions import from_hundredths, to_id
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column
from schema.member import Member, MemberOrder
from schema.project import Project, ProjectOrder
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_KEY = ("organization_id", "window", "workspace_id")


@strawberry.enum(description="How workspaces are ordered; ties by id.")
class WorkspaceOrder(Enum):
    """How workspaces are ordered."""

    NAME = strawberry.enum_value("NAME", description="By name, in code-point order.")
    SIZE = strawberry.enum_value("SIZE", description="By total size, the largest first.")
    EXPERIMENTS = strawberry.enum_value(
        "EXPERIMENTS", description="By number of experiments, the largest first."
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


@strawberry.input(description="Criteria for projects.")
class ProjectFilter:
    """Criteria for projects."""

    name_contains: str | None = strawberry.field(
        default=None, description="Text that the name contains, ignoring case."
    )


_ProjectOrder = Annotated[
    ProjectOrder, strawberry.argument(description="The order; by default by name.")
]
_ProjectFilter = Annotated[
    ProjectFilter | None, strawberry.argument(description="Only projects that match.")
]
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
    ) -> Grouped:
        return await members_of_workspaces(
            info.context,
            workspaces,
            selection,
            order=order_by.name,
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
    ) -> Grouped:
        return await former_members_of_workspaces(
            info.context, workspaces, selection, order=order_by.name, page=parse_page(first, after)
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
        order_by: _ProjectOrder = ProjectOrder.NAME,
        filter: _ProjectFilter = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        return await projects_of_workspaces(
            info.context,
            workspaces,
            selection,
            name_contains=filter.name_contains if filter else None,
            order=order_by.name,
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
