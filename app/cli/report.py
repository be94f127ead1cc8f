"""`chargeback report`: print a month's report as a table, JSON or CSV."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization, MonthArgument
from app.clock import system_clock
from app.console import stdout
from app.db.engine import Database
from app.domain.audit import Action
from app.domain.callers import DEFAULT_ORGANIZATION, Caller, Scope
from app.domain.months import Month
from app.domain.safe_text import escape_for_spreadsheet
from app.domain.sizes import to_megabytes
from app.server.store import run_with_store
from app.services.audit import append_audit_event
from app.services.organizations import find_organization
from app.settings import Settings
from app.web.report_document import read_report_header, stream_document
from resolvers.context import Context
from resolvers.corrections import corrections_of_reports
from resolvers.levels import to_dicts
from resolvers.report import fetch_report
from resolvers.rows import Grouped
from resolvers.workspaces import workspaces_of_reports

_COLUMNS = (
    "name",
    "number_of_members",
    "number_of_projects",
    "experiments",
    "experiments_created",
    "size_bytes",
    "average_hundredths",
)
_TOTAL_COLUMNS = frozenset(
    ("number_of_workspaces", "number_of_users", "experiments", "unmeasured", "size_bytes")
)
_HEADINGS = (
    "Workspace",
    "Members",
    "Projects",
    "Experiments",
    "Created",
    "Size in MB",
    "Average in MB",
)


class Format(StrEnum):
    """The formats of a printed report."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def show_report(
    month: MonthArgument,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="|".join(Format),
            help="A table, the REST document, or one line per workspace.",
        ),
    ] = Format.TABLE,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Print a month's report as a table, JSON or CSV."""
    chosen = Month.parse(month)
    run_with_store(
        data_dir,
        env_file,
        lambda database, settings: print_report(database, settings, chosen, organization, form),
    )


@asynccontextmanager
async def _operator_context(
    database: Database, settings: Settings, organization: str, action: Action
) -> AsyncIterator[Context]:
    """Read as the operator, who has access to every organization; record what was read."""
    found = await find_organization(database, organization)
    caller = Caller(
        organization_id=found.organization_id,
        organization=organization,
        username="operator",
        key_id="",
        scopes=frozenset({Scope.ADMIN}),
        is_admin=True,
        is_listed_admin=True,
    )
    async with database.snapshot(found.organization_id) as snapshot:
        context = Context(caller, database, snapshot, settings, system_clock())
        yield context
    async with database.transaction(found.organization_id) as tx:
        for event in context.audit_events:
            await append_audit_event(tx, context.actor, replace(event, action=action), context.now)


async def print_report(
    database: Database, settings: Settings, month: Month, organization: str, form: Format
) -> None:
    """Print the month's report: a table, the REST document, or CSV with a line per workspace."""
    action = Action.REPORT_READ if form is Format.TABLE else Action.REPORT_EXPORTED
    async with _operator_context(database, settings, organization, action) as context:
        if form is Format.JSON:
            await _print_document(context, month)
            return
        found = await fetch_report(context, None, month, _TOTAL_COLUMNS)
        total = next(iter(to_dicts(found)))
        key = total["organization_id"], total["window"]
        rows = await workspaces_of_reports(context, [key], frozenset(_COLUMNS))
        lines = [_format_row(row) for row in to_dicts(rows)]
        if form is Format.CSV:
            stdout.file.write(_format_csv(month, lines))
        else:
            stdout.print(_workspaces_table(organization, month, lines))
            stdout.print(_summary(total), highlight=False)
            corrections = await corrections_of_reports(
                context, [key], frozenset(_CORRECTION_COLUMNS)
            )
            if corrections.groups[0]:
                stdout.print(_corrections_table(corrections))


async def _print_document(context: Context, month: Month) -> None:
    header = await read_report_header(context, None, month)
    async for chunk in stream_document(context, header):
        stdout.file.write(chunk.decode())
    stdout.file.write("\n")


def _format_row(row: dict[str, Any]) -> list[str]:
    *counts, size_bytes, average_hundredths = (row[column] for column in _COLUMNS)
    return [
        *("" if count is None else str(count) for count in counts),
        f"{to_megabytes(size_bytes):.2f}",
        "" if average_hundredths is None else f"{average_hundredths / 100:.2f}",
    ]


def _format_csv(month: Month, lines: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("Month", *_HEADINGS))
    for name, *figures in lines:
        writer.writerow((str(month), escape_for_spreadsheet(name), *figures))
    return buffer.getvalue()


def _workspaces_table(organization: str, month: Month, lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=f"Chargeback report of {organization}, {month}")
    for index, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


_CORRECTION_COLUMNS = ("origin_month", "figure", "amount", "workspace", "project", "username")


def _corrections_table(corrections: Grouped) -> Table:
    table = Table("Month", "Figure", "Amount", "Workspace", "Project", "User")
    table.title = "Corrections of closed months"
    for row in to_dicts(corrections):
        cells = [row[column] for column in _CORRECTION_COLUMNS]
        cells[0] = Month.containing(cells[0])
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    return table


def _summary(total: dict[str, Any]) -> str:
    unmeasured = total["unmeasured"]
    unknown = f" ({unmeasured} of unknown size)" if unmeasured else ""
    return (
        f"{total['number_of_workspaces']} workspaces, {total['experiments']} experiments"
        f"{unknown}, {to_megabytes(total['size_bytes']):.2f} MB, "
        f"{total['number_of_users']} licensed users"
    )
