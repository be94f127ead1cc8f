"""Months, as admins see and change them."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry import Info

from app.domain.months import Month
from app.services.months import MonthState, list_close_history, list_months
from resolvers.context import Context


@strawberry.enum(description="Whether a month can still change.")
class MonthStatus(Enum):
    """Whether a month can still change."""

    OPEN = strawberry.enum_value("OPEN", description="Its report follows every new fact.")
    CLOSED = strawberry.enum_value(
        "CLOSED", description="Its report never changes; late facts become corrections."
    )


def month_status(closed: bool) -> MonthStatus:
    """The status of a month."""
    return MonthStatus.CLOSED if closed else MonthStatus.OPEN


@strawberry.type(description="A month of the organization.")
class ReportMonth:
    """A month of the organization."""

    month: Month = strawberry.field(description="The month.")
    status: MonthStatus = strawberry.field(description="Whether it can still change.")
    closed_at: datetime | None = strawberry.field(
        description="Null when it is open; else when it was closed."
    )
    closed_by: str | None = strawberry.field(
        description="Null when it is open; else who closed it: a username, or the setting "
        "MONTH_CLOSE_AFTER_DAYS."
    )
    rows_hash: str | None = strawberry.field(
        description="Null when it is open; else the SHA-256 of the rows of its report."
    )
    imported_from: str | None = strawberry.field(
        description="Null when it follows from events; else the file or address of the imported "
        "report that states it."
    )


@strawberry.enum(description="What was done to a month.")
class MonthAction(Enum):
    """What was done to a month."""

    CLOSED = strawberry.enum_value("CLOSED", description="It was closed.")
    REOPENED = strawberry.enum_value("REOPENED", description="It was opened again.")


@strawberry.type(description="A closing or a reopening of a month: the trace that it leaves.")
class MonthHistoryEntry:
    """A closing or a reopening of a month."""

    month: Month = strawberry.field(description="The month.")
    action: MonthAction = strawberry.field(description="What was done to it.")
    happened_at: datetime = strawberry.field(description="When.")
    username: str = strawberry.field(description="By whom.")
    reason: str = strawberry.field(description="Why it was opened again; empty for a closing.")
    rows_hash: str = strawberry.field(
        description="The SHA-256 of the rows of its report when it was closed."
    )


def report_month(state: MonthState) -> ReportMonth:
    """A month's state, as a client may know it."""
    return ReportMonth(
        month=state.month,
        status=month_status(state.closed_at is not None),
        closed_at=state.closed_at,
        closed_by=state.closed_by,
        rows_hash=state.rows_hash,
        imported_from=state.imported_from,
    )


async def months(info: Info[Context, Any]) -> list[ReportMonth]:
    """The months of the caller's organization."""
    context = info.context
    states = await list_months(context.database, context.caller.organization_id, context.now)
    return [report_month(state) for state in states]


async def month_history(info: Info[Context, Any]) -> list[MonthHistoryEntry]:
    """What was done to the months of the caller's organization."""
    context = info.context
    rows = await list_close_history(context.database, context.caller.organization_id)
    return [
        MonthHistoryEntry(
            month=row.month,
            action=MonthAction[row.action],
            happened_at=row.happened_at,
            username=row.username,
            reason=row.reason,
            rows_hash=row.rows_hash,
        )
        for row in rows
    ]


MonthArgument = Annotated[Month, strawberry.argument(description="The month.")]
