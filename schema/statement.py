"""The statement of a cost centre: what a month charges it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry

from app.db.report_windows import ReportWindow
from app.domain.months import Month
from app.domain.statement_changes import ChangeReason as DomainChangeReason
from resolvers.charge_lists import (
    StatementKey,
    changes_of_statements,
    charge_lines_of_statements,
)
from resolvers.rows import Grouped, Selection
from schema.arguments import First
from schema.change import Months
from schema.charge import AfterLine, ChargeLine
from schema.conversions import to_id
from schema.descriptions import ID_IN_REPORT
from schema.execution import batched, column
from schema.month import MonthStatus, to_month_status
from schema.request_info import RequestInfo

Payer = Annotated[
    str,
    strawberry.argument(
        description="The code of the cost centre, or an empty string for Unassigned."
    ),
]


def _to_statement_id(organization_id: UUID, window: ReportWindow, payer: str) -> str:
    return to_id(organization_id, window, f"statement/{payer}")


@strawberry.enum(description="Why a statement differs from an earlier one.")
class ChangeReason(Enum):
    """Why a statement differs from an earlier one."""

    NEW = strawberry.enum_value(
        "NEW", description="Workspaces that the cost centre did not pay for earlier."
    )
    GROWN = strawberry.enum_value("GROWN", description="Workspaces that are charged more.")
    SHRUNK = strawberry.enum_value("SHRUNK", description="Workspaces that are charged less.")
    GONE = strawberry.enum_value(
        "GONE", description="Workspaces that the cost centre no longer pays for."
    )
    SEATS = strawberry.enum_value("SEATS", description="Seats and service accounts.")
    USES = strawberry.enum_value("USES", description="Uses of the UI and SDK.")
    FEES = strawberry.enum_value("FEES", description="Fees.")
    CORRECTIONS = strawberry.enum_value("CORRECTIONS", description="Corrections of closed months.")


def _to_reason(reason: DomainChangeReason) -> ChangeReason:
    return ChangeReason[reason.name]


@strawberry.type(description="A part of the difference between two statements.")
class StatementChange:
    """A part of the difference between two statements."""

    reason: ChangeReason = column(
        convert=_to_reason, description="What the part comes from; each occurs once."
    )
    amount: Decimal = column(
        description="What it adds to the total, other than 0; negative if it reduces it."
    )


@strawberry.type(description="What a month charges one cost centre, corrections included.")
class Statement:
    """What a month charges one cost centre."""

    id: strawberry.ID = column(
        *("organization_id", "window", "payer"), convert=_to_statement_id, description=ID_IN_REPORT
    )
    month: Month = column(description="The month in which the charges are booked.")
    cost_centre: str | None = column(
        description="Null when the statement is that of Unassigned; otherwise the cost centre's "
        "code."
    )
    cost_centre_name: str = column(description="The cost centre's name, or `Unassigned`.")
    status: MonthStatus = column(
        "closed", convert=to_month_status, description="Whether the charges can still change."
    )
    closed_at: datetime | None = column(
        description="Null when the month is open; otherwise the time of the close."
    )
    charges_hash: str | None = column(
        description="Null when the month is open; otherwise the SHA-256 of all its charges, as "
        "the files of charges show it."
    )
    currency: str = column(description="The currency of all amounts: a code of ISO 4217.")
    total: Decimal = column(description="What the lines add up to.")
    corrections: Decimal = column(
        description="What corrections of closed months add to the total; 0 without corrections."
    )

    @batched(
        key=("organization_id", "window", "payer"),
        graphql_type=list[ChargeLine],
        description="The lines, sorted by rate, origin month, workspace and user. Empty when the "
        "cost centre is charged nothing.",
    )
    async def lines(
        info: RequestInfo,
        statements: Sequence[StatementKey],
        selection: Selection,
        first: First = None,
        after: AfterLine = None,
    ) -> Grouped:
        return await charge_lines_of_statements(
            info.context, statements, selection, first=first, after=after
        )

    @batched(
        key=("organization_id", "window", "payer"),
        graphql_type=list[StatementChange],
        description="Why the total differs from that of an earlier month, in the order of the "
        "enum. The amounts add up to the difference. Empty when there is none, or when the "
        "earlier month has no charges.",
    )
    async def changes(
        info: RequestInfo,
        statements: Sequence[StatementKey],
        _selection: Selection,
        months: Months = 1,
    ) -> Grouped:
        return await changes_of_statements(info.context, statements, months)
