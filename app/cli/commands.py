"""The command line: every command and group, in the order of the help.

Their modules import the store and GraphQL, which takes seconds, so each is imported on demand.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

from app import __version__
from app.cli.entries import ENTRIES, Entry
from app.cli.help import CommandGroup, command, command_group


class _LazyCommands(MutableMapping[str, Any]):
    """The commands by name; one is imported when it is first read."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load_command(name, ENTRIES[name])
        return self._loaded[name]

    def __setitem__(self, name: str, loaded: object) -> None:
        self._loaded[name] = loaded

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ENTRIES)

    def __len__(self) -> int:
        return len(ENTRIES)


def _load_command(name: str, entry: Entry) -> Any:
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
        """Complete an option, or a command's name where `app.cli.completion` does not."""
        if incomplete.startswith("-"):
            # TyperGroup would import every command to look for names that begin with a dash.
            return super(TyperGroup, self).shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in ENTRIES if name.startswith(incomplete)]


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
