"""The chargeback report of one month."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry

from app.db.report_windows import ReportWindow
from app.domain.months import Month
from resolvers.activity_warnings import activity_warnings_of_reports
from resolvers.changes import compared_columns
from resolvers.charge_lists import charges_of_reports
from resolvers.corrections import CURSOR, corrections_of_reports
from resolvers.levels import ReportKey, parse_id_page, parse_page
from resolvers.projects import former_projects_of_reports, projects_of_reports
from resolvers.report import changes_of_reports, previous_reports
from resolvers.rows import Grouped, Selection
from resolvers.unlicensed_usage import unlicensed_usage_of_reports
from resolvers.users import (
    gone_users_of_reports,
    licensed_users_of_reports,
    user_subtotals_of_reports,
)
from resolvers.workspaces import (
    ANY_WORKSPACE,
    WorkspaceCriteria,
    former_workspaces_of_reports,
    gone_workspaces_of_reports,
    workspaces_of_reports,
)
from schema.activity_warning import ActivityWarning
from schema.arguments import AfterId, AfterUsername, First, InDirection, to_sorting
from schema.change import Months, ReportChange
from schema.charge import Charges
from schema.connection import connection
from schema.conversions import from_hundredths, to_id
from schema.correction import Correction
from schema.descriptions import ID_IN_REPORT, UNMEASURED
from schema.execution import batched, column, embedded
from schema.month import MonthStatus, to_month_status
from schema.organization import Organization
from schema.project import (
    Project,
    ProjectFilterArgument,
    ProjectOrder,
    ProjectOrderArgument,
    to_project_criteria,
)
from schema.request_info import RequestInfo
from schema.scalars import BigInt
from schema.unlicensed_usage import UnlicensedUsage
from schema.user import (
    LicensedUser,
    UserFilterArgument,
    UserOrder,
    UserOrderArgument,
    UserSubtotal,
    to_user_criteria,
)
from schema.workspace import Workspace, WorkspaceFilter, WorkspaceOrder

_KEY = ("organization_id", "window")
_ChargebackReportOrNull = Annotated["ChargebackReport", strawberry.lazy("schema.report")] | None

_WorkspaceOrder = Annotated[
    WorkspaceOrder, strawberry.argument(description="The order; by default by name.")
]
_AfterCorrection = Annotated[
    str | None,
    strawberry.argument(
        description="Only corrections after those of a page of `correctionsConnection`: its "
        "`endCursor`."
    ),
]
_WorkspaceFilter = Annotated[
    WorkspaceFilter | None, strawberry.argument(description="Only workspaces that match.")
]


def _to_users_id(organization_id: UUID, window: ReportWindow) -> str:
    return to_id(organization_id, window, "users")


@strawberry.type(description="The users of an organization in one report month.")
class Users:
    """The users of an organization in one report month."""

    id: strawberry.ID = column(*_KEY, convert=_to_users_id, description=ID_IN_REPORT)
    number_of_users: int = column(
        description="Number of licensed users, including suspended users and service accounts."
    )
    created_at: datetime = column(description="When the report's content last changed.")
    usage_measured_from: datetime | None = column(
        description="Null when no usage is measured; otherwise since when every measured channel "
        "is. What users did before is unknown. 1970 when an imported report states the month, "
        "because it states each user's last use."
    )

    @batched(
        key=_KEY,
        graphql_type=list[LicensedUser],
        description="Users created before the month ended and not deleted before it began. "
        "Empty before the first user.",
    )
    async def licensed_users(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: UserOrderArgument = UserOrder.USERNAME,
        direction: InDirection = None,
        filter: UserFilterArgument = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        return await licensed_users_of_reports(
            info.context,
            reports,
            selection,
            matching=to_user_criteria(filter),
            sorting=to_sorting(order_by, direction),
            page=parse_page(first, after, selection),
        )

    licensed_users_connection = connection(
        licensed_users, LicensedUser, "username", name="licensedUsersConnection"
    )

    @batched(
        key=_KEY,
        graphql_type=UserSubtotal,
        description="The users that match, added up, such as all who have been idle for 90 days.",
    )
    async def subtotal(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        filter: UserFilterArgument = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        criteria = to_user_criteria(filter)
        return await user_subtotals_of_reports(info.context, reports, selection, criteria)

    @batched(
        key=_KEY,
        graphql_type=list[LicensedUser],
        description="Users who were licensed in an earlier month and are not in this one, by "
        "username. Their figures are those of this month: 0. Empty when there are none.",
    )
    async def gone_users(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await gone_users_of_reports(info.context, reports, selection, months)


@strawberry.type(
    description="Who used how much of the platform in one month. Stocks (workspaces, members, "
    "projects, experiments, sizes) are those at the report's end: the month's end, or now while "
    "the month is current. Flows (usage counts, experiments created) are those within the month."
)
class ChargebackReport:
    """Who used how much of the platform in one month."""

    id: strawberry.ID = column(*_KEY, convert=to_id, description=ID_IN_REPORT)
    report_date: Month = column(description="The report month.")
    status: MonthStatus = column(
        convert=to_month_status, description="Whether the month can still change."
    )
    closed_at: datetime | None = column(
        description="Null when the month is open; otherwise the time of the close."
    )
    imported_from: str | None = column(
        description="Null when the month's figures come from events; otherwise the file or URL of "
        "the imported report that states them. Figures that such a report does not have are null."
    )
    created_at: datetime = column(
        description="When the report last changed: when the last batch of events arrived, or the "
        "month's start if that is later. For an imported report, when that report was created."
    )
    organization: Organization = embedded(description="The organization of the report.")
    number_of_workspaces: int = column(description="Number of workspaces at the report's end.")
    number_of_experiments: BigInt = column(
        "experiments", description="Number of experiments at the report's end."
    )
    unmeasured_experiments: BigInt = column(
        "unmeasured",
        description=UNMEASURED,
    )
    experiments_created: BigInt | None = column(
        description="Null when an imported report states the month; otherwise the number of "
        "experiments created within the month, including those deleted since."
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
        "over the month, or over its part up to now, in MB, deleted experiments included.",
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; otherwise the total of `charges`."
    )
    users: Users = embedded(description="The organization's users in the month.")

    @batched(
        key=_KEY,
        graphql_type=list[Workspace],
        description="Workspaces that exist at the report's end. Empty before the organization's "
        "first event.",
    )
    async def workspaces(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: _WorkspaceOrder = WorkspaceOrder.NAME,
        direction: InDirection = None,
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
            sorting=to_sorting(order_by, direction),
            page=parse_id_page(first, after, selection),
        )

    workspaces_connection = connection(
        workspaces, Workspace, "workspace_id", name="workspacesConnection"
    )

    @batched(
        key=_KEY,
        graphql_type=Workspace | None,
        description="Null when no workspace has this name at the report's end; otherwise the "
        "workspace.",
    )
    async def workspace(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        name: Annotated[str, strawberry.argument(description="The workspace's exact name.")],
    ) -> Grouped:
        return await workspaces_of_reports(
            info.context, reports, selection, matching=WorkspaceCriteria(name=name)
        )

    @batched(
        key=_KEY,
        graphql_type=list[Workspace],
        description="Workspaces that were deleted within the month and have figures in it, by "
        "name. Their stocks are 0; their flows are still charged. Empty when there are none.",
    )
    async def former_workspaces(
        info: RequestInfo, reports: Sequence[ReportKey], selection: Selection
    ) -> Grouped:
        return await former_workspaces_of_reports(info.context, reports, selection)

    @batched(
        key=_KEY,
        graphql_type=list[Workspace],
        description="Workspaces that had figures in an earlier month and have none in this one, "
        "by name. Their figures are those of this month: 0. Empty when there are none.",
    )
    async def gone_workspaces(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await gone_workspaces_of_reports(info.context, reports, selection, months)

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects of all workspaces at the report's end. Empty when there are none.",
    )
    async def projects(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: ProjectOrderArgument = ProjectOrder.NAME,
        direction: InDirection = None,
        filter: ProjectFilterArgument = None,  # noqa: A002  the argument's public name
    ) -> Grouped:
        return await projects_of_reports(
            info.context,
            reports,
            selection,
            matching=to_project_criteria(filter),
            sorting=to_sorting(order_by, direction),
            page=parse_id_page(first, after, selection),
        )

    projects_connection = connection(projects, Project, "project_id", name="projectsConnection")

    @batched(
        key=_KEY,
        graphql_type=list[Project],
        description="Projects of all workspaces that were deleted within the month and have "
        "figures in it, by name. Their stocks are 0; their flows are still charged. Empty when "
        "there are none.",
    )
    async def former_projects(
        info: RequestInfo, reports: Sequence[ReportKey], selection: Selection
    ) -> Grouped:
        return await former_projects_of_reports(info.context, reports, selection)

    @batched(
        key=_KEY,
        graphql_type=list[Correction],
        description="Corrections of closed months that are booked in this month, by origin month, "
        "figure and names. Empty when there are none.",
    )
    async def corrections(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: _AfterCorrection = None,
    ) -> Grouped:
        page = parse_page(first, after, selection)
        return await corrections_of_reports(info.context, reports, selection, page=page)

    corrections_connection = connection(
        corrections, Correction, *CURSOR, name="correctionsConnection"
    )

    @batched(
        key=_KEY,
        graphql_type=list[ActivityWarning],
        description="What is unknown about activity in the month: with it, neither "
        "`lastActivityAt` nor the filter `idleSince` can be complete. Empty when all is measured.",
    )
    async def activity_warnings(
        info: RequestInfo, reports: Sequence[ReportKey], _selection: Selection
    ) -> Grouped:
        return await activity_warnings_of_reports(info.context, reports)

    @batched(
        key=_KEY,
        graphql_type=Charges | None,
        description="Null when the organization has no currency, and in a month that an imported "
        "report states; otherwise the charges of the month: so far while it is current, frozen "
        "once it is closed.",
    )
    async def charges(
        info: RequestInfo, reports: Sequence[ReportKey], _selection: Selection
    ) -> Grouped:
        return await charges_of_reports(info.context, reports)

    @batched(
        key=_KEY,
        graphql_type=UnlicensedUsage,
        description="What is charged to nobody: uses by users without a licence in the month.",
    )
    async def charged_to_nobody(
        info: RequestInfo, reports: Sequence[ReportKey], selection: Selection
    ) -> Grouped:
        return await unlicensed_usage_of_reports(info.context, reports, selection)

    @batched(
        key=_KEY,
        graphql_type=_ChargebackReportOrNull,
        description="Null when the organization's first event is later than the earlier month; "
        "otherwise the report of that month.",
    )
    async def previous(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_reports(info.context, reports, selection, months)

    @batched(
        key=_KEY,
        reads=compared_columns,
        graphql_type=ReportChange,
        description="How the totals differ from those of an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[tuple[Any, ...]],
        selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_reports(info.context, keys, selection, months)
