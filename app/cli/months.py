"""`chargeback months`: list, close, reopen, verify."""

from datetime import datetime

from rich.table import Table

from app.console import stdout
from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.errors import ChargebackError
from app.domain.months import Month
from app.services.months import (
    Compared,
    close_month,
    list_close_history,
    list_months,
    reopen_month,
    verify_month,
)
from app.services.organizations import find_organization


class MonthIsWrong(ChargebackError):
    """A month's rows are not what its raw events say."""

    code, status = "MONTH_WRONG", 500


async def print_months(database: Database, organization: str, now: datetime) -> None:
    """Print the months, the latest first, and what was done to them."""
    found = await find_organization(database, organization)
    months = Table("Month", "Status", "Closed at", "By", "Hash of the rows", "Stated by")
    for state in await list_months(database, found.organization_id, now):
        closed_at = f"{state.closed_at:%Y-%m-%d %H:%M}" if state.closed_at else ""
        months.add_row(
            str(state.month),
            "closed" if state.closed_at else "open",
            closed_at,
            state.closed_by or "",
            (state.rows_hash or "")[:16],
            state.imported_from or "",
        )
    stdout.print(months)
    for act in await list_close_history(database, found.organization_id):
        if act.reason:
            stdout.print(
                f"{act.happened_at:%Y-%m-%d %H:%M} {act.username} opened "
                f"{Month.containing(act.month)} again: {act.reason}",
                markup=False,
                highlight=False,
            )


async def close(database: Database, organization: str, month: Month, now: datetime) -> None:
    """Close a month and those before it."""
    found = await find_organization(database, organization)
    closed = await close_month(database, found.organization_id, month, by=OPERATOR, now=now)
    told = f"closed {', '.join(map(str, closed))}" if closed else f"{month} is closed already"
    stdout.print(told, markup=False, highlight=False)


async def reopen(
    database: Database, organization: str, month: Month, reason: str, now: datetime
) -> None:
    """Open the latest closed month again."""
    found = await find_organization(database, organization)
    await reopen_month(database, found.organization_id, month, reason=reason, by=OPERATOR, now=now)
    stdout.print(f"opened {month} again", markup=False, highlight=False)


async def verify(database: Database, organization: str, month: Month) -> None:
    """Compare a month with its raw events, and say what was compared.

    Raises:
        MonthIsWrong: They differ; says where first, and how often.
    """
    found = await find_organization(database, organization)
    verified = await verify_month(database, found.organization_id, month)
    if wrong := verified.differences:
        more = f" ({len(wrong)} differences in all)" if len(wrong) > 1 else ""
        raise MonthIsWrong(f"{month}: {wrong[0]}{more}")
    stdout.print(f"{month}{_TOLD[verified.compared]}", markup=False, highlight=False)


_TOLD = {
    Compared.EVENTS: " is what its events say",
    Compared.EVENTS_AND_CLOSE: (
        ", with its corrections, is what its events say; no row changed since it was closed"
    ),
    Compared.CLOSE: (
        ": no row changed since it was closed; it was not compared with events, since live "
        "sources have taken over from what imported reports stated"
    ),
}
