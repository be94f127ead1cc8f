"""Documented commands have existing words and options; tests/documents runs them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from app.cli.commands import cli
from tests.contract.test_documents import DOCUMENTS, ROOT

CHARGEBACK = re.compile(r"(?:^|.*\s)(?:\S*/)?chargeback ([a-z].*)")


def iter_documented_commands() -> Iterator[tuple[str, str]]:
    """Yield each documented line that runs a command of this project, with its document."""
    for name, text in DOCUMENTS.items():
        for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("docker build", "docker run", "git ", "|")):
                    continue
                if found := CHARGEBACK.search(line.split("#")[0].split("|")[0].split(" > ")[0]):
                    yield name, found[1]


COMMANDS = sorted(set(iter_documented_commands()))


def test_the_documentation_contains_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_a_documented_command_has_these_words_and_options(document: str, line: str) -> None:
    words = [word for word in shlex.split(line) if word not in ("…", "FILE…")]
    command: Any = typer.main.get_command(cli)
    while hasattr(command, "commands") and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"{document}: chargeback {line}"
        command, words = found, words[1:]
    command.make_parser(command.context_class(command)).parse_args(words)


def test_the_generated_references_are_current() -> None:
    checked = subprocess.run(
        (sys.executable, "tools/reference.py", "--check"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
