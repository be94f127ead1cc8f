"""The chargeback report of one month."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import Info

from app.domain.months import Month
from app.domain.sizes import to_megabytes
from resolvers.charge_lists import charges_of_reports
from resolvers.context import Context
from resolvers.corrections import corrections_of_reports
from resolvers.levels import ReportKey, parse_id_page, parse_page
from resolvers.rows import Grouped, Selection
from resolvers.users import ANY_USER, UserCriteria, licensed_users_of_reports
from resolvers.workspaces import (
    ANY_WORKSPACE,
    WorkspaceCriteria,
    former_workspaces_of_reports,
    workspaces_of_reports,
)
from schema.arguments import AfterId, AfterUsername, First
from schema.charge import Charges
from schema.correction import Correction
from schema.descriptions import UNMEASURED
from schema.execution import batched, column, embedded
from schema.month import MonthStatus, month_status
from schema.organization import Organization
from schema.scalars import BigInt
from schema.user import LicensedUser, UserFilterArgument, UserOrder, UserOrderArgument
from schema.workspace import Workspace, WorkspaceFilter, WorkspaceOrder

_KEY = ("organization_id", "window")

_WorkspaceOrder = Annotated[
    WorkspaceOrder, strawberry.argument(description="The order; by default by name.")
]
_WorkspaceFilter = Annotated[
    WorkspaceFilter | None, strawberry.argument(description="Only workspaces that match.")
]


@strawberry.type(description="The users of an organization in one report month.")
class Users:
    """The users of an organization in one report month."""

    number_of_users: int = column(
        description="Licensed users, suspended ones and service accounts included."
    )
    created_at: datetime = column(description="When the report's content last changed.")

    @batched(
        key=_KEY,
        graphql_type=list[LicensedUser],
        description="Users created before the month ended and not deleted before it began. "
        "Empty before the first user.",
    )
    async def licensed_users(
        info: Info[Context, Any],
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: UserOrderArgument = UserOrder.USERNAME,
        filter: UserFilterArgument = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        matching = (
            UserCriteria(filter.username_contains, filter.suspended, filter.service_account)
            if filter
            else ANY_USER
        )
        return await licensed_users_of_reports(
            info.context,
            reports,
            selection,
            matching=matching,
            order=order_by.name,
            page=parse_page(first, after),
        )


@strawberry.type(
    description="Who used how much of the platform in one month. Stocks (workspaces, members, "
    "projects, experiments, sizes) are those at the report's end: the month's end, or now while "
    "the month is current. Flows (usage counts, experiments created) are those within the month."
)
class ChargebackReport:
    """Who used how much of the platform in one month."""

    report_date: Month = column(description="The report month.")
    status: MonthStatus = column(
        convert=month_status, description="Whether the month can still change."
    )
    closed_at: datetime | None = column(
        description="Null when the month is open; else when it was closed."
    )
    imported_from: str | None = column(
        description="Null when the month follows from events; else the file or address of the "
        "imported report that states its figures. Such a report says how things stood at the "
        "month's end; what it cannot say is null."
    )
    created_at: datetime = column(
        description="When the report's content last changed: the moment of the last batch of "
        "events, or the month's start when it is later. Of a month that an imported report "
        "states, when that report was made."
    )
    organization: Organization = embedded(description="Whose report it is.")
    number_of_workspaces: int = column(description="Workspaces that exist at the report's end.")
    number_of_experiments: BigInt = column(
        "experiments", description="Experiments that exist at the report's end."
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    total_size_in_mb: float = column(
        "size_bytes",
        convert=to_megabytes,
        description="What they hold, in MB of 1,048,576 bytes, two decimals, half up.",
    )
    total_size_bytes: BigInt = column("size_bytes", description="What they hold, in bytes.")
    users: Users = embedded(description="The users.")

    @batched(
        key=_KEY,
        graphql_type=list[Workspace],
        description="Workspaces that exist at the report's end. Empty before the organization's "
        "first event.",
    )
    async def workspaces(
        info: Info[Context, Any],
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: _WorkspaceOrder = WorkspaceOrder.NAME,
        filter: _WorkspaceFilter = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        matching = (
            WorkspaceCriteria(None, filter.name_contains, filter.minimum_size_bytes)
            if filter
            else ANY_WORKSPACE
        )
        return await workspaces_of_reports(
            info.context,
            reports,
            selection,
            matching=matching,
            order=order_by.name,
            page=parse_id_page(first, after),
        )

    @batched(
        key=_KEY,
        graphql_type=Workspace | None,
        description="Null when no workspace of that name exists at the report's end; else it.",
    )
    async def workspace(
        info: Info[Context, Any],
        reports: Sequence[ReportKey],
        selection: Selection,
        name: Annotated[str, strawberry.argument(description="Its exact name.")],
    ) -> Grouped:
        return await workspaces_of_reports(
            info.context, reports, selection, matching=WorkspaceCriteria(name=name)
        )

    @batched(
        key=_KEY,
        graphql_type=list[Workspace],
        description="Workspaces deleted within the month that were used in it, by name. They "
        "hold nothing at its end; what they held and created before is still charged.",
    )
    async def former_workspaces(
        info: Info[Context, Any], reports: Sequence[ReportKey], selection: Selection
    ) -> Grouped:
        return await former_workspaces_of_reports(info.context, reports, selection)

    @batched(
        key=_KEY,
        graphql_type=list[Correction],
        description="What came too late for closed months and is booked in this one, by origin "
        "month, figure and names. Empty when nothing did.",
    )
    async def corrections(
        info: Info[Context, Any], reports: Sequence[ReportKey], selection: Selection
    ) -> Grouped:
        return await corrections_of_reports(info.context, reports, selection)

    @batched(
        key=_KEY,
        graphql_type=Charges | None,
        description="Null when the organization has no currency, and in a month that an imported "
        "report states; else the charges of the month: so far while it is current, frozen once it "
        "is closed.",
    )
    async def charges(
        info: Info[Context, Any], reports: Sequence[ReportKey], _selection: Selection
    ) -> Grouped:
        return await charges_of_reports(info.context, reports)
