"""A workspace, with its members and projects."""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry import Info

from resolvers.context import Context
from resolvers.levels import WorkspaceKey, parse_id_page, parse_page
from resolvers.members import former_members_of_workspaces, members_of_workspaces
from resolvers.projects import former_projects_of_workspaces, projects_of_workspaces
from resolvers.rows import Grouped, Selection
from schema.arguments import AfterId, AfterUsername, First
from schema.conversions import from_hundredths
from schema.descriptions import UNMEASURED
from schema.execution import batched, column
from schema.member import Member, MemberOrder
from schema.project import Project, ProjectOrder
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
        default=None, description="A part of the name, in any case."
    )
    minimum_size_bytes: BigInt | None = strawberry.field(
        default=None, description="The least total size, in bytes."
    )


@strawberry.input(description="Criteria for projects.")
class ProjectFilter:
    """Criteria for projects."""

    name_contains: str | None = strawberry.field(
        default=None, description="A part of the name, in any case."
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

    id: strawberry.ID = column(
        "workspace_id", description="The same in every month. It follows from the name."
    )
    name: str = column(description="Unique in the organization.")
    number_of_members: int = column(description="Memberships in force at the report's end.")
    number_of_projects: int = column(description="Projects that exist at the report's end.")
    number_of_experiments: int = column(
        "experiments", description="Experiments that exist in it at the report's end."
    )
    unmeasured_experiments: int = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: int | None = column(
        description="Null when an imported report states the month; else "
        "experiments created in it within the month, deleted ones included."
    )
    total_size_in_mb: float = column(
        "size_in_mb",
        description="What its experiments hold at the report's end, in MB of 1,048,576 bytes, "
        "two decimals, half up.",
    )
    total_size_bytes: BigInt = column(
        "size_bytes", description="What its experiments hold at the report's end, in bytes."
    )
    average_size_in_mb: float | None = column(
        "average_hundredths",
        convert=from_hundredths,
        description="Null when an imported report states the month; else what "
        "its experiments held on average over the month, or over the part of it that has passed, "
        "in MB; the fair base for a storage price.",
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; else what the month "
        "charges for the workspace's storage and experiments, deleted ones included. Projects "
        "and former projects add up to it, and so do members and former members."
    )

    @batched(
        key=_KEY,
        graphql_type=list[Member],
        description="Members in force at the report's end. Empty when none is.",
    )
    async def members(
        info: Info[Context, Any],
        workspaces: Sequence[WorkspaceKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: _MemberOrder = MemberOrder.USERNAME,
    ) -> Grouped:
        return await members_of_workspaces(
            info.context, workspaces, selection, order=order_by.name, page=parse_page(first, after)
        )

    @batched(
        key=_KEY,
        graphql_type=list[Member],
        description="Owners of experiments here who are no members at the report's end. With "
        "the members they add up to the workspace, exactly. Empty when every owner is a member.",
    )
    async def former_members(
        info: Info[Context, Any],
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
        description="Projects that exist at the report's end. Empty when none do.",
    )
    async def projects(
        info: Info[Context, Any],
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
            page=parse_id_page(first, after),
        )

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects deleted within the month that were used in it, by name. They hold "
        "nothing at its end; what they held and created before counts in the workspace.",
    )
    async def former_projects(
        info: Info[Context, Any], workspaces: Sequence[WorkspaceKey], selection: Selection
    ) -> Grouped:
        return await former_projects_of_workspaces(info.context, workspaces, selection)
