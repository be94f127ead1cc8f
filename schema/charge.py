"""The charges of a report month."""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry

from app.db.report_windows import ReportWindow
from app.domain.months import Month
from app.domain.rates import Measure as DomainMeasure
from resolvers.charge_lists import (
    CostCentreKey,
    changes_of_cost_centre_charges,
    charge_lines_of_reports,
    cost_centre_charges_of_reports,
    previous_cost_centre_charges,
    rate_charges_of_reports,
)
from resolvers.levels import ReportKey
from resolvers.rows import Grouped, Selection
from schema.arguments import First
from schema.change import AmountChange, Months
from schema.conversions import to_id
from schema.descriptions import ID_IN_REPORT
from schema.execution import batched, column
from schema.request_info import RequestInfo

_KEY = ("organization_id", "window")
_CENTRE_KEY = (*_KEY, "code")
_CostCentreChargeOrNull = Annotated["CostCentreCharge", strawberry.lazy("schema.charge")] | None


@strawberry.enum(description="What a rate charges for, and the unit of its quantity.")
class Measure(Enum):
    """What a rate charges for."""

    STORAGE = strawberry.enum_value(
        "STORAGE", description="GB-months: 2^30 bytes held for the whole month."
    )
    EXPERIMENTS_CREATED = strawberry.enum_value(
        "EXPERIMENTS_CREATED", description="Experiments created within the month."
    )
    SEATS = strawberry.enum_value(
        "SEATS", description="Licensed users that are no service accounts."
    )
    SERVICE_ACCOUNTS = strawberry.enum_value(
        "SERVICE_ACCOUNTS", description="Licensed service accounts."
    )
    UI_USES = strawberry.enum_value("UI_USES", description="Uses of the UI by licensed users.")
    SDK_USES = strawberry.enum_value("SDK_USES", description="Uses of the SDK by licensed users.")
    FEE = strawberry.enum_value("FEE", description="A fixed amount per month.")


def to_measure(measure: DomainMeasure) -> Measure:
    """Convert a measure for the response."""
    return Measure[measure.name]


@strawberry.type(description="What one rate charges in a month, corrections included.")
class RateCharge:
    """What one rate charges in a month."""

    code: str = column(description="The rate's code, unique in the organization.")
    name: str = column(description="The rate's name.")
    measure: Measure = column(convert=to_measure, description="What it charges for.")
    amount: Decimal = column(description="The booked amount.")


@strawberry.type(description="What one cost centre pays for a month, corrections included.")
class CostCentreCharge:
    """What one cost centre pays for a month."""

    code: str | None = column(
        description="Null when no cost centre pays; otherwise the cost centre's code."
    )
    name: str = column(description="The cost centre's name, or `Unassigned`.")
    amount: Decimal = column(description="The booked amount.")

    @batched(
        key=_CENTRE_KEY,
        graphql_type=_CostCentreChargeOrNull,
        description="Null when the cost centre paid nothing in the earlier month; otherwise what "
        "it paid then.",
    )
    async def previous(
        info: RequestInfo,
        keys: Sequence[CostCentreKey],
        _selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await previous_cost_centre_charges(info.context, keys, months)

    @batched(
        key=_CENTRE_KEY,
        graphql_type=AmountChange,
        description="How the amount differs from that of an earlier month.",
    )
    async def change(
        info: RequestInfo,
        keys: Sequence[CostCentreKey],
        _selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_cost_centre_charges(info.context, keys, months)


@strawberry.type(
    description="One line of a month's charges: a quantity times a price, booked for a cost "
    "centre."
)
class ChargeLine:
    """One line of a month's charges."""

    id: strawberry.ID = column(*_KEY, "line_id", convert=to_id, description=ID_IN_REPORT)
    line_id: strawberry.ID = column(
        description="Unique in the organization. It is the same while the line's amount changes."
    )
    rate: str = column(description="The code of the rate.")
    rate_name: str = column(description="The name of the rate.")
    measure: Measure = column(convert=to_measure, description="What the rate charges for.")
    cost_centre: str | None = column(
        description="Null when no cost centre pays; otherwise the cost centre's code."
    )
    cost_centre_name: str = column(description="The cost centre's name, or `Unassigned`.")
    workspace: str | None = column(
        description="Null when no workspace is involved; otherwise the workspace that was used "
        "or, on a line of a user, the membership through which the cost centre pays."
    )
    user_name: str | None = column(
        description="Null when the line is of a workspace or a fee; otherwise the username."
    )
    origin_month: Month | None = column(
        description="Null when the line is the month's own; otherwise the closed month it "
        "corrects."
    )
    quantity: Decimal = column(
        description="The quantity in the measure's unit, to twelve decimals, half up."
    )
    unit: str = column(description="The unit of the quantity, in the singular.")
    price: Decimal = column(description="The price of one unit, in force in the line's month.")
    exact_amount: Decimal = column(
        description="Quantity times price before rounding, to twelve decimals, half up."
    )
    amount: Decimal = column(
        description="The booked amount, which differs from the exact one by less than one minor "
        "unit of the currency."
    )


_CostCentre = Annotated[
    str | None,
    strawberry.argument(
        description="Only the lines that this cost centre pays: its code, or an empty string for "
        "Unassigned."
    ),
]
AfterLine = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="Only the lines after the one with this `lineId`. Empty if there is no such "
        "line."
    ),
]


def _to_charges_id(organization_id: UUID, window: ReportWindow) -> str:
    return to_id(organization_id, window, "charges")


@strawberry.type(
    description="The charges of a month. Every view of them (rates, cost centres, lines) adds up "
    "to the same total."
)
class Charges:
    """The charges of a month."""

    id: strawberry.ID = column(*_KEY, convert=_to_charges_id, description=ID_IN_REPORT)
    currency: str = column(description="The currency of all amounts: a code of ISO 4217.")
    total: Decimal = column(description="What all lines add up to.")
    corrections: Decimal = column(
        description="What corrections of closed months add to the total; 0 without corrections."
    )

    @batched(
        key=_KEY,
        graphql_type=list[RateCharge],
        description="What each rate charges, sorted by code. Empty when nothing is charged.",
    )
    async def rates(
        info: RequestInfo, reports: Sequence[ReportKey], _selection: Selection
    ) -> Grouped:
        return await rate_charges_of_reports(info.context, reports)

    @batched(
        key=_KEY,
        graphql_type=list[CostCentreCharge],
        description="What each cost centre pays, sorted by code, Unassigned last. Empty when "
        "nothing is charged.",
    )
    async def cost_centres(
        info: RequestInfo, reports: Sequence[ReportKey], _selection: Selection
    ) -> Grouped:
        return await cost_centre_charges_of_reports(info.context, reports)

    @batched(
        key=_KEY,
        graphql_type=list[ChargeLine],
        description="The lines, sorted by rate, origin month, cost centre, workspace and user. "
        "Empty when nothing is charged.",
    )
    async def lines(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: AfterLine = None,
        cost_centre: _CostCentre = None,
    ) -> Grouped:
        return await charge_lines_of_reports(
            info.context, reports, selection, cost_centre=cost_centre, first=first, after=after
        )
