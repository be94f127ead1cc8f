"""The consoles of the commands: results go to stdout, progress and errors to stderr."""

import sys
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text

from app.domain.safe_text import escape_for_terminal

_PIPE_WIDTH = 240
"""A pipe has no width of its own, and Rich would wrap tables at 80 columns."""


class PlainConsole(Console):
    """Prints every string as it is: no markup, no emoji codes, no control characters.

    Names come from elsewhere: `[old]` is a name, not a style, and an escape sequence must not
    reach the terminal. What is to be styled is a `Text`, or has a `style`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the string as text, with unusual characters shown escaped."""
        plain = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(escape_for_terminal(text, keep="\n"), **{**options, **plain})


stdout = PlainConsole(soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
stderr = PlainConsole(stderr=True, soft_wrap=True)


def is_interactive() -> bool:
    """Return whether a user at a terminal can answer a prompt."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def progress_bar(*columns: ProgressColumn, transient: bool = False) -> Progress:
    """Return a progress bar on stderr, which is drawn only on a terminal.

    A transient bar disappears when it is complete.
    """
    return Progress(*columns, console=stderr, transient=transient, disable=not stderr.is_terminal)


def print_line(text: str) -> None:
    """Print a line to stdout."""
    stdout.print(text)


def print_error(text: str) -> None:
    """Print a line to stderr."""
    stderr.print(text)
