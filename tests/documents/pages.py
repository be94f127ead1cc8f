"""The documents' blocks of commands, and where each page's are run."""

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

LANGUAGES = {"bash", "console", "csv", "graphql", "json", "sql", "text", "toml", "yaml"}
"""`console` shows commands with what they print: tests/imports/test_tables.py runs them."""


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        not_run: Why no test runs it, as the comment before it says; "" when one does.
    """

    language: str
    text: str
    not_run: str


_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<not_run>.+?) -->\n)?```(?P<language>.*?)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(page: str) -> list[Block]:
    """Those of a page, in its order."""
    return [
        Block(found["language"], found["text"], found["not_run"] or "")
        for found in _BLOCK.finditer(PAGES[page])
    ]


def commands(page: str) -> list[str]:
    """What a test runs of a page."""
    return [block.text for block in blocks(page) if block.language == "bash" and not block.not_run]


def is_of_a_clone(block: str) -> bool:
    """Whether it installs and serves by itself, for `test_clone.py` to do."""
    return block.startswith("make run")


AT_A_DESK = {name for name in PAGES if commands(name)} - ON_A_MACHINE - IN_CONTAINERS
"""In a shell beside a service of the page's own: `test_commands.py`."""
