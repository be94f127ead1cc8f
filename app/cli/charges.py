"""`chargeback charges`: print a month's charges, or write them to a file."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.operator import operator_context
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization, MonthArgument
from app.cli.tables import print_table
from app.console import print_line
from app.db.engine import Database
from app.domain.audit import Action
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.export.charge_formats import FILE_TYPES, ChargeFormat
from app.export.charges import read_charge_export, to_charge_rows
from app.server.store import run_with_store
from app.settings import Settings
from resolvers.statements import Statement


class PrintFormat(StrEnum):
    """A table for people, or one of the file formats of charges."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    FOCUS_1_2 = "focus-1.2"
    FOCUS_1_4 = "focus-1.4"


def show_charges(
    month: MonthArgument,
    form: Annotated[
        PrintFormat,
        typer.Option(
            "--format",
            metavar="|".join(PrintFormat),
            help="A table, or a file with one row per charge line.",
        ),
    ] = PrintFormat.TABLE,
    cost_centre: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Only what this cost centre pays; '' is Unassigned."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file instead of stdout.")
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Print a month's charges: what is charged, how much, and who pays."""
    chosen = Month.parse(month)
    if form is PrintFormat.TABLE and output is not None:
        raise InvalidArgument("--output needs a --format other than table.")

    async def run(database: Database, settings: Settings) -> None:
        action = Action.REPORT_READ if form is PrintFormat.TABLE else Action.REPORT_EXPORTED
        async with operator_context(database, settings, organization, action) as context:
            statement = await read_charge_export(
                context,
                None,
                chosen,
                cost_centre,
                with_projects=form in {PrintFormat.FOCUS_1_2, PrintFormat.FOCUS_1_4},
            )
        if form is PrintFormat.TABLE:
            _print_table(statement)
        else:
            _write(FILE_TYPES[ChargeFormat(form)].write(statement), output)

    run_with_store(data_dir, env_file, run)


def _write(body: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(body)
    except OSError as error:
        raise InvalidArgument(f"--output: {output} cannot be written: {error}.") from None


def _print_table(statement: Statement) -> None:
    amount = f"Amount in {statement.currency.code}"
    names = ("Cost centre", "Rate", "Workspace", "User", "Corrects")
    headings = (*names, "Quantity", "Price", amount, "Id")
    rows = [
        (
            row.cost_centre or row.cost_centre_name,
            row.rate,
            row.workspace or "",
            row.username or "",
            str(row.origin_month or ""),
            f"{row.quantity:,.6f}".rstrip("0").rstrip("."),
            f"{row.price:,f}",
            f"{row.amount:,}",
            row.id,
        )
        for row in to_charge_rows(statement)
    ]
    print_table(
        headings,
        rows,
        title=f"Charges of {statement.organization}, {statement.month}",
        right={"Quantity", "Price", amount},
        whole={"Corrects", "Id"},
        drop=["Id", "Price", "Quantity", "Corrects"],
    )
    print_line(f"total {statement.total:,} {statement.currency.code}; {statement.status}")
