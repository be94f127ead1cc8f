"""The consoles of the commands: results go to stdout, progress and errors to stderr."""

import sys

from rich.console import Console

_PIPE_WIDTH = 240
"""A pipe has no width of its own, and Rich would wrap tables at 80 columns."""

stdout = Console(soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
stderr = Console(stderr=True, soft_wrap=True)


def print_line(text: str) -> None:
    """Print a line to stdout as it is, without Rich's markup and highlighting."""
    stdout.print(text, markup=False, highlight=False)


def print_error(text: str) -> None:
    """Print a line to stderr as it is, without Rich's markup and highlighting."""
    stderr.print(text, markup=False, highlight=False)
