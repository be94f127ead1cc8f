"""The command line: every command and group, in the order of the help."""

from typing import Annotated

import typer

from app import __version__
from app.cli.audit import export_audit
from app.cli.charges import show_charges
from app.cli.cost_centres import assign_cost_centre, cost_centres
from app.cli.database import backup, db, restore
from app.cli.explain import explain
from app.cli.feed import feed
from app.cli.generate import generate
from app.cli.help import Panel, command, command_group
from app.cli.imported_reports import import_report
from app.cli.imports import import_files
from app.cli.keys import keys
from app.cli.mlflow import import_from_mlflow
from app.cli.months import months
from app.cli.organizations import organizations
from app.cli.rates import rates
from app.cli.report import show_report
from app.cli.serve import serve
from app.cli.sources import sources
from app.cli.systemd import systemd
from app.console import stdout

cli = command_group(
    "Monthly chargeback reports of a shared experiment platform: who used how much."
)
command(
    cli,
    "report",
    panel=Panel.MONTH_END,
    examples=[
        "report 2026-09",
        "report 2026-09 --by user --top 10 --order size",
        "report 2026-09 --output 2026-09.xlsx",
        "report 2026-09 --split-by workspace --format xlsx --out 2026-09",
        "report --from 2026-01 --to 2026-09 --format csv > 2026.csv",
    ],
)(show_report)
command(
    cli,
    "charges",
    panel=Panel.MONTH_END,
    examples=["charges 2026-09", "charges 2026-09 --format xlsx --output charges.xlsx"],
)(show_charges)
command(
    cli,
    "explain",
    panel=Panel.MONTH_END,
    examples=["explain 2026-09-1f0c2a9b7d3e4856"],
)(explain)
cli.add_typer(months, name="months", rich_help_panel=Panel.MONTH_END)
cli.add_typer(rates, name="rates", rich_help_panel=Panel.MONTH_END)
cli.add_typer(cost_centres, name="cost-centres", rich_help_panel=Panel.MONTH_END)
command(
    cli,
    "assign",
    panel=Panel.MONTH_END,
    examples=[
        "assign workspace vision 4711 --from 2026-09",
        "assign user ann none --from 2026-10",
        "assign --file assignments.csv",
    ],
)(assign_cost_centre)
command(
    cli,
    "import",
    panel=Panel.DATA_IN,
    examples=[
        "import events.ndjson.gz",
        "import users.csv --table users --source hr --dry-run",
    ],
)(import_files)
command(
    cli,
    "import-report",
    panel=Panel.DATA_IN,
    examples=["import-report 2025-*.json"],
)(import_report)
command(
    cli,
    "import-mlflow",
    panel=Panel.DATA_IN,
    examples=["import-mlflow --store postgresql://reader@db.example/mlflow"],
)(import_from_mlflow)
cli.add_typer(sources, name="sources", rich_help_panel=Panel.DATA_IN)
cli.add_typer(feed, name="feed", rich_help_panel=Panel.DATA_IN)
command(
    cli,
    "generate",
    panel=Panel.DATA_IN,
    examples=["generate --months 12 --users 40 > events.ndjson"],
)(generate)
cli.add_typer(keys, name="keys", rich_help_panel=Panel.ACCESS)
cli.add_typer(organizations, name="organizations", rich_help_panel=Panel.ACCESS)
command(
    cli,
    "audit",
    panel=Panel.ACCESS,
    examples=["audit --since 2026-09 --format csv > audit.csv", "audit --action KEY_CREATED"],
)(export_audit)
command(cli, "serve", panel=Panel.OPERATIONS, examples=["serve", "serve --demo --port 8080"])(
    serve
)
command(
    cli,
    "backup",
    panel=Panel.OPERATIONS,
    examples=["backup store.dump", "backup /var/backups/chargeback --keep 14"],
)(backup)
command(cli, "restore", panel=Panel.OPERATIONS, examples=["restore store.dump --replace"])(restore)
cli.add_typer(db, name="db", rich_help_panel=Panel.OPERATIONS)
cli.add_typer(systemd, name="systemd", rich_help_panel=Panel.OPERATIONS)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        stdout.print(__version__)
        raise typer.Exit


@cli.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Accept the options that precede a command."""
