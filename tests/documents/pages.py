"""The documents' code blocks, and which test runs those of a page."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}

ON_A_MACHINE = {"docs/install/linux.md", "docs/install/air-gapped.md"}
"""In a booted Debian: tests/deploy/test_systemd.py."""

IN_CONTAINERS = {"docs/install/container.md"}
"""By podman: tests/deploy/test_image.py."""

GENERATED = {"docs/reference/cli.md"}
"""The examples of the help, which tests/contract/test_documented_commands.py parses."""

LANGUAGES = {"bash", "console", "csv", "graphql", "json", "sql", "text", "toml", "yaml"}
"""`console` shows commands with what they print: tests/imports/test_tables.py runs them."""


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        not_run: The reason why no test runs it, from the comment before it; "" if one does.
    """

    language: str
    text: str
    not_run: str


_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<not_run>.+?) -->\n)?```(?P<language>.*?)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    return [
        Block(found["language"], found["text"], found["not_run"] or "")
        for found in _BLOCK.finditer(PAGES[page])
    ]


def commands(page: str) -> list[str]:
    """Return the shell blocks of a page that a test runs."""
    return [block.text for block in blocks(page) if block.language == "bash" and not block.not_run]


def is_of_a_clone(block: str) -> bool:
    """Whether test_clone.py runs the block, because it installs and serves by itself."""
    return block.startswith("make run")


IN_A_SHELL = {name for name in PAGES if commands(name)} - ON_A_MACHINE - IN_CONTAINERS - GENERATED
"""In a shell, with a service for each page: test_commands.py."""
