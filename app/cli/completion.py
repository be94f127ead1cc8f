"""Complete a command's name without Typer, whose import takes a second on a slow machine.

The shells call the program as Typer's completion scripts say (`--install-completion`). Every
other word, and every other shell, is left to Typer.
"""

import os
from shlex import split

from app.cli.entries import ENTRIES


def complete_command_name() -> str | None:
    """Return what the shell expects; None if this is no completion of a command's name.

    The shell passes the words in environment variables, which are no settings of the service.
    """
    environment = os.environ
    shell = environment.get("_CHARGEBACK_COMPLETE")
    if shell == "complete_bash":
        words = environment.get("COMP_WORDS", "")
        typed = _first_word(words) if environment.get("COMP_CWORD") == "1" else None
        names = _find_names(typed)
        return "\n".join(names) if names else None
    if shell == "complete_zsh":
        names = _find_names(_first_word(environment.get("_TYPER_COMPLETE_ARGS", "")))
        quoted = "\n".join(f'"{name}"' for name in names)
        return f"_arguments '*: :(({quoted}))'" if names else None
    return None


def _find_names(typed: str | None) -> list[str]:
    return [] if typed is None else [name for name in ENTRIES if name.startswith(typed)]


def _first_word(line: str) -> str | None:
    """Return the word after the program's name; None if there are more, or it is an option."""
    try:
        words = split(line)[1:]
    except ValueError:
        return None
    if len(words) > 1 or (words and (line.endswith(" ") or words[0].startswith("-"))):
        return None
    return words[0] if words else ""
