"""Report months: their status and the history of closes."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from app.domain.months import Month
from app.services.months import MonthState, list_close_history, list_months
from schema.request_info import RequestInfo


@strawberry.enum(description="Whether a month can still change.")
class MonthStatus(Enum):
    """Whether a month can still change."""

    OPEN = strawberry.enum_value("OPEN", description="The report changes with every new event.")
    CLOSED = strawberry.enum_value(
        "CLOSED", description="The report never changes; late events become corrections."
    )


def to_month_status(is_closed: bool) -> MonthStatus:
    """Return the status of a month."""
    return MonthStatus.CLOSED if is_closed else MonthStatus.OPEN


@strawberry.type(description="A month for which the organization has a report.")
class ReportMonth:
    """A month for which the organization has a report."""

    month: Month = strawberry.field(description="The month.")
    status: MonthStatus = strawberry.field(description="Whether the month can still change.")
    closed_at: datetime | None = strawberry.field(
        description="Null when the month is open; otherwise the time of the close."
    )
    closed_by: str | None = strawberry.field(
        description="Null when the month is open; otherwise who closed it: a username, "
        "`operator:` and a system user for the command line, or the setting "
        "MONTH_CLOSE_AFTER_DAYS."
    )
    rows_hash: str | None = strawberry.field(
        description="Null when the month is open; otherwise the SHA-256 of its report's rows."
    )
    imported_from: str | None = strawberry.field(
        description="Null when the month's figures come from events; otherwise the file or URL of "
        "the imported report that states them."
    )


@strawberry.enum(description="What was done to a month.")
class MonthAction(Enum):
    """What was done to a month."""

    CLOSED = strawberry.enum_value("CLOSED", description="The month was closed.")
    REOPENED = strawberry.enum_value("REOPENED", description="The month was reopened.")


@strawberry.type(description="An entry of the month history: a month was closed or reopened.")
class MonthHistoryEntry:
    """An entry of the month history."""

    month: Month = strawberry.field(description="The month.")
    action: MonthAction = strawberry.field(description="What was done to the month.")
    happened_at: datetime = strawberry.field(description="When it happened.")
    username: str = strawberry.field(
        description="Who did it: a username, `operator:` and a system user for the command line, "
        "or the setting MONTH_CLOSE_AFTER_DAYS."
    )
    reason: str = strawberry.field(description="Why the month was reopened. Empty for a close.")
    rows_hash: str = strawberry.field(description="The SHA-256 of the rows of the closed report.")


def to_report_month(state: MonthState) -> ReportMonth:
    """Convert a month for the response."""
    return ReportMonth(
        month=state.month,
        status=to_month_status(state.closed_at is not None),
        closed_at=state.closed_at,
        closed_by=state.closed_by,
        rows_hash=state.rows_hash,
        imported_from=state.imported_from,
    )


async def months(info: RequestInfo) -> list[ReportMonth]:
    """Return the months of the caller's organization, latest first."""
    context = info.context
    states = await list_months(context.database, context.caller.organization_id, context.now)
    return [to_report_month(state) for state in states]


async def month_history(info: RequestInfo) -> list[MonthHistoryEntry]:
    """Return the closes and reopenings of the caller's organization, latest first."""
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
