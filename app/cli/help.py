"""Register commands with their group, their help panel and examples."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from app.cli.entries import Panel

F = TypeVar("F", bound=Callable[..., Any])


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _hide_flag_types(super().get_params(ctx))


class CommandGroup(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, flags without a type."""
        return _hide_flag_types(super().get_params(ctx))


def _hide_flag_types(parameters: list[Any]) -> list[Any]:
    """Show `--dry-run`, not `--dry-run <bool>`, in the help."""
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_bool_flag:
            parameter.metavar = ""
    return parameters


def command_group(summary: str, *, group_class: type[CommandGroup] = CommandGroup) -> typer.Typer:
    """Create a group of commands; without a command it prints its help."""
    return typer.Typer(
        cls=group_class, no_args_is_help=True, pretty_exceptions_enable=False, help=summary
    )


def command(
    group: typer.Typer,
    name: str,
    *,
    examples: Sequence[str],
    panel: Panel | None = None,
) -> Callable[[F], F]:
    """Register a function as a command of a group.

    Args:
        group: The group, or the root.
        name: The command's word.
        examples: Command lines without `chargeback`, shown below the help.
        panel: The section of the group's help that lists the command.
    """
    return group.command(
        name, cls=_Command, epilog=format_examples(examples), rich_help_panel=panel
    )


def format_examples(examples: Sequence[str]) -> str:
    """Return the examples as an epilog: Typer keeps line breaks only between paragraphs."""
    title = "Example:" if len(examples) == 1 else "Examples:"
    return "\n\n".join([title, *(f"  chargeback {example}" for example in examples)])
