"""The code blocks of the documentation, and which test runs the commands of each page."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}

MACHINE_PAGES = {"docs/install/linux.md", "docs/install/air-gapped.md"}
"""tests/deploy/test_systemd.py runs them in a booted Debian."""

CONTAINER_PAGES = {"docs/install/container.md"}
"""tests/deploy/test_image.py runs them with podman."""

GENERATED_PAGES = {"docs/reference/cli.md"}
"""tests/contract/test_documented_commands.py parses their examples."""

QUESTION_PAGES = {"docs/charges.md", "docs/month-end.md"}
"""test_questions.py runs them, and checks the answers."""

LANGUAGES = {"bash", "console", "csv", "graphql", "json", "sql", "text", "toml", "ts", "yaml"}
"""`console` shows commands with their output; tests/imports/test_tables.py runs them."""


class Block(NamedTuple):
    """A fenced code block.

    Attributes:
        not_run: The reason that the comment before it gives for not running it, or "".
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
    return _find_blocks(PAGES[page])


def _find_blocks(text: str) -> list[Block]:
    return [
        Block(match["language"], match["text"], match["not_run"] or "")
        for match in _BLOCK.finditer(text)
    ]


def sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks under each heading of a page, by heading."""
    parts = re.split(r"^#{2,} (.+)$", PAGES[page], flags=re.MULTILINE)[1:]
    return {
        heading: _find_blocks(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def commands(page: str) -> list[str]:
    """Return the shell blocks of a page that a test runs."""
    return [block.text for block in blocks(page) if block.language == "bash" and not block.not_run]


def needs_clone(block: str) -> bool:
    """Whether test_clone.py runs the block, in a clone of the repository."""
    return block.startswith("make run")


SHELL_PAGES = (
    {name for name in PAGES if commands(name)}
    - MACHINE_PAGES
    - CONTAINER_PAGES
    - GENERATED_PAGES
    - QUESTION_PAGES
)
"""test_commands.py runs them in a shell, with a store for each page."""
