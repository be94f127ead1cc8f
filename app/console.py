"""Where the commands write: answers to stdout, progress and errors to stderr."""

import sys

from rich.console import Console

_WIDE = 240
"""What is piped has no width of its own, and must not be cut."""

stdout = Console(soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
stderr = Console(stderr=True, soft_wrap=True)
