"""The commands and groups of the root, in the order of the help.

This module imports nothing slow, because it is read whenever a command's name is completed.
"""

from enum import StrEnum
from typing import NamedTuple


class Panel(StrEnum):
    """The sections of `chargeback --help`, in order."""

    MONTH_END = "Month-end"
    DATA_IN = "Data in"
    ACCESS = "Keys and access"
    OPERATIONS = "Operations"


class Entry(NamedTuple):
    """A command or group: its section of the help, and the `module:name` that defines it."""

    panel: Panel
    target: str
    examples: tuple[str, ...] = ()


ENTRIES = {
    "report": Entry(
        Panel.MONTH_END,
        "app.cli.report:show_report",
        (
            "report 2026-09",
            "report 2026-09 --by user --top 10 --order size",
            "report 2026-09 --output 2026-09.xlsx",
            "report 2026-09 --split-by workspace --format xlsx --out 2026-09",
            "report --from 2026-01 --to 2026-09 --format csv > 2026.csv",
        ),
    ),
    "charges": Entry(
        Panel.MONTH_END,
        "app.cli.charges:show_charges",
        ("charges 2026-09", "charges 2026-09 --format xlsx --output charges.xlsx"),
    ),
    "explain": Entry(
        Panel.MONTH_END, "app.cli.explain:explain", ("explain 2026-09-1f0c2a9b7d3e4856",)
    ),
    "months": Entry(Panel.MONTH_END, "app.cli.months:months"),
    "rates": Entry(Panel.MONTH_END, "app.cli.rates:rates"),
    "cost-centres": Entry(Panel.MONTH_END, "app.cli.cost_centres:cost_centres"),
    "assign": Entry(
        Panel.MONTH_END,
        "app.cli.cost_centres:assign_cost_centre",
        (
            "assign workspace vision 4711 --from 2026-09",
            "assign user ann none --from 2026-10",
            "assign --file assignments.csv",
        ),
    ),
    "import": Entry(
        Panel.DATA_IN,
        "app.cli.imports:import_files",
        ("import events.ndjson.gz", "import users.csv --table users --source hr --dry-run"),
    ),
    "import-report": Entry(
        Panel.DATA_IN,
        "app.cli.imported_reports:import_report",
        ("import-report 2025-*.json",),
    ),
    "import-mlflow": Entry(
        Panel.DATA_IN,
        "app.cli.mlflow:import_from_mlflow",
        ("import-mlflow --store postgresql://reader@db.example/mlflow",),
    ),
    "sources": Entry(Panel.DATA_IN, "app.cli.sources:sources"),
    "feed": Entry(Panel.DATA_IN, "app.cli.feed:feed"),
    "generate": Entry(
        Panel.DATA_IN,
        "app.cli.generate:generate",
        ("generate --months 12 --users 40 > events.ndjson",),
    ),
    "keys": Entry(Panel.ACCESS, "app.cli.keys:keys"),
    "organizations": Entry(Panel.ACCESS, "app.cli.organizations:organizations"),
    "audit": Entry(
        Panel.ACCESS,
        "app.cli.audit:export_audit",
        (
            "audit --since 2026-09 --format csv > audit.csv",
            "audit --action KEY_CREATED",
        ),
    ),
    "serve": Entry(Panel.OPERATIONS, "app.cli.serve:serve", ("serve", "serve --demo --port 8080")),
    "backup": Entry(
        Panel.OPERATIONS,
        "app.cli.database:backup",
        ("backup store.dump", "backup /var/backups/chargeback --keep 14"),
    ),
    "restore": Entry(
        Panel.OPERATIONS, "app.cli.database:restore", ("restore store.dump --replace",)
    ),
    "db": Entry(Panel.OPERATIONS, "app.cli.database:db"),
    "systemd": Entry(Panel.OPERATIONS, "app.cli.systemd:systemd"),
}
