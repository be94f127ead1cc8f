"""The command line: every command and group, in the order of the help.

Their modules import the store and GraphQL, which takes seconds, so each is imported on demand.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

from app import __version__
from app.cli.help import CommandGroup, Panel, command, command_group


class _Entry(NamedTuple):
    """A command or group: its section of the help, and the `module:name` that defines it."""

    panel: Panel
    target: str
    examples: tuple[str, ...] = ()


_ENTRIES = {
    "report": _Entry(
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
    "charges": _Entry(
        Panel.MONTH_END,
        "app.cli.charges:show_charges",
        ("charges 2026-09", "charges 2026-09 --format xlsx --output charges.xlsx"),
    ),
    "explain": _Entry(
        Panel.MONTH_END, "app.cli.explain:explain", ("explain 2026-09-1f0c2a9b7d3e4856",)
    ),
    "months": _Entry(Panel.MONTH_END, "app.cli.months:months"),
    "rates": _Entry(Panel.MONTH_END, "app.cli.rates:rates"),
    "cost-centres": _Entry(Panel.MONTH_END, "app.cli.cost_centres:cost_centres"),
    "assign": _Entry(
        Panel.MONTH_END,
        "app.cli.cost_centres:assign_cost_centre",
        (
            "assign workspace vision 4711 --from 2026-09",
            "assign user ann none --from 2026-10",
            "assign --file assignments.csv",
        ),
    ),
    "import": _Entry(
        Panel.DATA_IN,
        "app.cli.imports:import_files",
        ("import events.ndjson.gz", "import users.csv --table users --source hr --dry-run"),
    ),
    "import-report": _Entry(
        Panel.DATA_IN,
        "app.cli.imported_reports:import_report",
        ("import-report 2025-*.json",),
    ),
    "import-mlflow": _Entry(
        Panel.DATA_IN,
        "app.cli.mlflow:import_from_mlflow",
        ("import-mlflow --store postgresql://reader@db.example/mlflow",),
    ),
    "sources": _Entry(Panel.DATA_IN, "app.cli.sources:sources"),
    "feed": _Entry(Panel.DATA_IN, "app.cli.feed:feed"),
    "generate": _Entry(
        Panel.DATA_IN,
        "app.cli.generate:generate",
        ("generate --months 12 --users 40 > events.ndjson",),
    ),
    "keys": _Entry(Panel.ACCESS, "app.cli.keys:keys"),
    "organizations": _Entry(Panel.ACCESS, "app.cli.organizations:organizations"),
    "audit": _Entry(
        Panel.ACCESS,
        "app.cli.audit:export_audit",
        (
            "audit --since 2026-09 --format csv > audit.csv",
            "audit --action KEY_CREATED",
        ),
    ),
    "serve": _Entry(
        Panel.OPERATIONS, "app.cli.serve:serve", ("serve", "serve --demo --port 8080")
    ),
    "backup": _Entry(
        Panel.OPERATIONS,
        "app.cli.database:backup",
        ("backup store.dump", "backup /var/backups/chargeback --keep 14"),
    ),
    "restore": _Entry(
        Panel.OPERATIONS, "app.cli.database:restore", ("restore store.dump --replace",)
    ),
    "db": _Entry(Panel.OPERATIONS, "app.cli.database:db"),
    "systemd": _Entry(Panel.OPERATIONS, "app.cli.systemd:systemd"),
}


class _LazyCommands(MutableMapping[str, Any]):
    """The commands by name; one is imported when it is first read."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load_command(name, _ENTRIES[name])
        return self._loaded[name]

    def __setitem__(self, name: str, loaded: object) -> None:
        self._loaded[name] = loaded

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_ENTRIES)

    def __len__(self) -> int:
        return len(_ENTRIES)


def _load_command(name: str, entry: _Entry) -> Any:
    module, _, attribute = entry.target.partition(":")
    target = getattr(import_module(module), attribute)
    holder = command_group("")
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name, rich_help_panel=entry.panel)
    else:
        command(holder, name, panel=entry.panel, examples=entry.examples)(target)
    return typer.main.get_group(holder).commands[name]


class _LazyGroup(CommandGroup):
    """The root, which imports a command's module when the command is used or its help shown."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands()

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any, or an option."""
        if incomplete.startswith("-"):
            # TyperGroup would import every command to look for names that begin with a dash.
            return super(TyperGroup, self).shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in _ENTRIES if name.startswith(incomplete)]


cli = command_group(
    "Monthly chargeback reports of a shared experiment platform: who used how much.",
    group_class=_LazyGroup,
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(__version__)
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
