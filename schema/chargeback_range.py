"""A range of months, with its figures added up."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry

from app.db.ranges import RangeList
from app.domain.ids import user_id
from app.domain.months import Month
from resolvers.levels import parse_id_page, parse_page
from resolvers.ranges import (
    RangeKey,
    corrections_of_ranges,
    rows_of_ranges,
    totals_of_ranges,
)
from resolvers.rows import Grouped, Selection
from schema.arguments import AfterId, AfterUsername, First, InDirection, to_sorting
from schema.conversions import from_hundredths
from schema.correction import Correction
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_KEY = ("organization_id", "windows")


@strawberry.enum(description="How the rows of a range are ordered; ties by id.")
class RangeOrder(Enum):
    """How the rows of a range are ordered."""

    NAME = strawberry.enum_value("NAME", description="By name, in code-point order.")
    AVERAGE_SIZE = strawberry.enum_value(
        "AVERAGE_SIZE", description="By average size over the range, the largest first."
    )
    EXPERIMENTS_CREATED = strawberry.enum_value(
        "EXPERIMENTS_CREATED", description="By number of experiments created, the largest first."
    )


_InOrder = Annotated[RangeOrder, strawberry.argument(description="The order; by default by name.")]


@strawberry.type
class _RangeFigures:
    experiments_created: BigInt | None = column(
        description="Null when an imported report states a month of the range; otherwise the "
        "number of experiments created in the range, including those deleted since."
    )
    average_size_in_mb: float | None = column(
        "average_hundredths",
        convert=from_hundredths,
        description="Null when an imported report states a month of the range; otherwise the "
        "average size over the range, or over its part up to now, in MB: the averages of the "
        "months, weighted by their lengths.",
    )


@strawberry.type
class _Usage:
    ui_usage_count: BigInt | None = column(
        description="Null when no source measured UI usage in the range; otherwise the number of "
        "UI uses."
    )
    sdk_usage_count: BigInt | None = column(
        description="Null when no source measured SDK usage in the range; otherwise the number of "
        "SDK uses."
    )


@strawberry.type(description="The totals of a range, corrections booked in it included.")
class RangeTotals(_RangeFigures, _Usage):
    """The totals of a range."""

    licensed_months: BigInt = column(
        "licences", description="Licensed users, summed over the months."
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the range; otherwise the total of the "
        "months' charges."
    )


@strawberry.type(description="A workspace in a range of months.")
class RangeWorkspace(_RangeFigures):
    """A workspace in a range of months."""

    workspace_id: strawberry.ID = column(
        "id", description="Derived from the name, so it is the same in every month."
    )
    name: str = column(description="Unique in the organization.")
    exists: bool = column(description="Whether it exists at the end of the last month.")
    amount: Decimal | None = column(
        description="Null when nothing is charged in the range; otherwise what the months charge "
        "for the workspace's storage and experiments."
    )


@strawberry.type(description="A project in a range of months.")
class RangeProject(_RangeFigures):
    """A project in a range of months."""

    project_id: strawberry.ID = column(
        "id",
        description="Derived from the names of workspace and project, so it is the same in every "
        "month.",
    )
    name: str = column(description="Unique in its workspace.")
    workspace: str = column(description="The name of its workspace.")
    exists: bool = column(description="Whether it exists at the end of the last month.")
    amount: Decimal | None = column(
        description="Null when nothing is charged in the range; otherwise the project's share in "
        "what the months charge for its workspace."
    )


@strawberry.type(
    description="A user in a range of months: licensed in one of them, or with figures in one."
)
class RangeUser(_RangeFigures, _Usage):
    """A user in a range of months."""

    username: str = column("name", description="Unique in the organization.")
    exists: bool = column(description="Whether the user is licensed at the end of the last month.")
    licensed_months: int = column(
        "licences", description="In how many of the months the user was licensed."
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the range; otherwise what the months charge "
        "for the user's seat and uses."
    )


@strawberry.type(description="A correction that is booked in a range of months.")
class RangeCorrection(Correction):
    """A correction that is booked in a range of months."""

    booked_month: Month = column(description="The month in which the correction is booked.")


@strawberry.type(
    description="A range of months, with its flows added up and its averages weighted by the "
    "lengths of the months. Deleted things are listed, and the corrections booked in the range "
    "are part of every figure."
)
class ChargebackRange:
    """A range of months, with its figures added up."""

    first_month: Month = column(description="The first month.")
    last_month: Month = column(description="The last month.")

    @batched(key=_KEY, graphql_type=RangeTotals, description="The totals of the range.")
    async def totals(
        info: RequestInfo, ranges: Sequence[RangeKey], selection: Selection
    ) -> Grouped:
        return await totals_of_ranges(info.context, ranges, selection)

    @batched(
        key=_KEY,
        graphql_type=list[RangeWorkspace],
        description="Workspaces that existed or have figures in a month of the range. Empty "
        "before the organization's first event.",
    )
    async def workspaces(
        info: RequestInfo,
        ranges: Sequence[RangeKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: _InOrder = RangeOrder.NAME,
        direction: InDirection = None,
    ) -> Grouped:
        sorting, page = to_sorting(order_by, direction), parse_id_page(first, after)
        return await rows_of_ranges(
            info.context, ranges, selection, RangeList.WORKSPACES, sorting=sorting, page=page
        )

    @batched(
        key=_KEY,
        graphql_type=list[RangeProject],
        description="Projects of all workspaces that existed or have figures in a month of the "
        "range. Empty before the organization's first event.",
    )
    async def projects(
        info: RequestInfo,
        ranges: Sequence[RangeKey],
        selection: Selection,
        first: First = None,
        after: AfterId = None,
        order_by: _InOrder = RangeOrder.NAME,
        direction: InDirection = None,
    ) -> Grouped:
        sorting, page = to_sorting(order_by, direction), parse_id_page(first, after)
        return await rows_of_ranges(
            info.context, ranges, selection, RangeList.PROJECTS, sorting=sorting, page=page
        )

    @batched(
        key=_KEY,
        graphql_type=list[RangeUser],
        description="Users who were licensed or have figures in a month of the range. Empty "
        "before the organization's first event.",
    )
    async def users(
        info: RequestInfo,
        ranges: Sequence[RangeKey],
        selection: Selection,
        first: First = None,
        after: AfterUsername = None,
        order_by: _InOrder = RangeOrder.NAME,
        direction: InDirection = None,
    ) -> Grouped:
        page = parse_page(first, after)
        if page.after is not None:
            page = replace(page, after=user_id(page.after))
        sorting = to_sorting(order_by, direction)
        return await rows_of_ranges(
            info.context, ranges, selection, RangeList.USERS, sorting=sorting, page=page
        )

    @batched(
        key=_KEY,
        graphql_type=list[RangeCorrection],
        description="The corrections booked in the range, by month, origin month, figure and "
        "names. They are part of the figures. Empty when there are none.",
    )
    async def corrections(
        info: RequestInfo, ranges: Sequence[RangeKey], selection: Selection
    ) -> Grouped:
        return await corrections_of_ranges(info.context, ranges, selection)
