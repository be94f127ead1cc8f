"""`chargeback months`: list, close, reopen and verify report months."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from app.cli.help import command, command_group
from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization, MonthArgument
from app.cli.tables import print_table
from app.clock import system_clock
from app.console import is_interactive, print_error, print_line
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, ClosesOtherMonths
from app.domain.months import Month
from app.server.store import run_with_store
from app.services.month_verification import ComparedWith, verify_month
from app.services.months import (
    close_month,
    describe_closing,
    find_months_to_close,
    list_close_history,
    list_months,
    reopen_month,
)
from app.services.organizations import find_organization
from app.settings import Settings

_MAX_LISTED_DIFFERENCES = 20

months = command_group("List, close, reopen and verify report months.")


class MonthMismatch(ChargebackError):
    """A month's rows or charges differ from what its events add up to."""

    code, status = "MONTH_WRONG", 500


@command(months, "list", examples=["months list"])
def list_(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List months, latest first, with their status."""
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: _print_months(database, organization, system_clock()),
    )


async def _print_months(database: Database, organization: str, now: datetime) -> None:
    found = await find_organization(database, organization)
    rows = [
        (
            str(state.month),
            "closed" if state.closed_at else "open",
            f"{state.closed_at:%Y-%m-%d %H:%M}" if state.closed_at else "",
            state.closed_by or "",
            state.rows_hash or "",
            state.imported_from or "",
        )
        for state in await list_months(database, found.organization_id, now)
    ]
    headings = ("Month", "Status", "Closed at", "By", "Hash of the rows", "Imported from")
    print_table(headings, rows, whole={"Month", "Closed at"}, drop=("Imported from", "By"))
    for entry in await list_close_history(database, found.organization_id):
        if entry.reason:
            print_line(
                f"{entry.happened_at:%Y-%m-%d %H:%M} {entry.username} reopened "
                f"{entry.month}: {entry.reason}"
            )


@command(
    months, "close", examples=["months close 2026-09 --dry-run", "months close 2026-09 --yes"]
)
def close(
    month: MonthArgument,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Close without asking, and earlier open months with it."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the months that would close, and stop.")
    ] = False,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Close a month and all open months before it. A closed report never changes.

    On a terminal, it asks first. Elsewhere, such as in a script, closing more than the named month
    needs --yes.
    """
    chosen = Month.parse(month)

    async def run(database: Database, _: Settings) -> None:
        found = (await find_organization(database, organization)).organization_id
        closing = await find_months_to_close(database, found, chosen, system_clock())
        if not closing:
            print_line(f"{chosen} is already closed")
        elif dry_run:
            print_line(f"would close {', '.join(map(str, closing))}")
        else:
            if not yes:
                _confirm_close(closing)
            await _close(database, found, closing)

    run_with_store(data_dir, env_file, run)


def _confirm_close(closing: Sequence[Month]) -> None:
    """Ask on a terminal; elsewhere, accept one month.

    Raises:
        ClosesOtherMonths: Nobody can be asked, and several months would close.
    """
    if is_interactive():
        print_error(f"{describe_closing(closing)} A closed report never changes.")
        typer.confirm("Close?", abort=True, err=True)
    elif len(closing) > 1:
        raise ClosesOtherMonths(
            f"{describe_closing(closing)} Nothing was closed. Add --yes to close them all; "
            "--dry-run lists them."
        )


async def _close(database: Database, organization_id: UUID, expected: Sequence[Month]) -> None:
    closed = await close_month(
        database,
        organization_id,
        expected[-1],
        expected=expected,
        by=current_operator(),
        now=system_clock(),
    )
    print_line(
        f"closed {', '.join(map(str, closed))}" if closed else f"{expected[-1]} is already closed"
    )


@command(months, "reopen", examples=["months reopen 2026-09 --reason 'wrong owner of vision'"])
def reopen(
    month: MonthArgument,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="The reason, which is kept in the audit log.")
    ],
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Reopen the latest closed month, and add the events that arrived late for it."""
    chosen = Month.parse(month)
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: _reopen(database, organization, chosen, reason, system_clock()),
    )


async def _reopen(
    database: Database, organization: str, month: Month, reason: str, now: datetime
) -> None:
    found = await find_organization(database, organization)
    await reopen_month(
        database, found.organization_id, month, reason=reason, by=current_operator(), now=now
    )
    print_line(f"reopened {month}")


@command(months, "verify", examples=["months verify 2026-09"])
def verify(
    month: MonthArgument,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Recompute a month from its raw events, by a slow and independent method, and compare."""
    chosen = Month.parse(month)
    run_with_store(data_dir, env_file, lambda database, _: _verify(database, organization, chosen))


async def _verify(database: Database, organization: str, month: Month) -> None:
    """Print what was compared.

    Raises:
        MonthMismatch: The month differs from its events; the message lists the differences.
    """
    found = await find_organization(database, organization)
    verified = await verify_month(database, found.organization_id, month)
    if differences := verified.differences:
        listed = "\n".join(differences[:_MAX_LISTED_DIFFERENCES])
        more = f"\n({len(differences)} differences in all)" if len(differences) > 1 else ""
        raise MonthMismatch(f"{month}: {listed}{more}")
    print_line(_VERIFIED[verified.compared_with].format(month=month))


_VERIFIED = {
    ComparedWith.EVENTS: "{month} matches its events",
    ComparedWith.EVENTS_AND_CLOSE: (
        "{month} and its corrections match its events; no row changed since it was closed"
    ),
    ComparedWith.CLOSE: (
        "{month}: no row changed since it was closed; not compared with events, "
        "which do not correct months up to the last imported report"
    ),
}
