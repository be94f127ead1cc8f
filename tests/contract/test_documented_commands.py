"""Commands that the documents show: those in `bash` blocks are run, every other one is parsed."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.commands import cli
from tests.contract.test_documents import DOCUMENTS, ROOT, blocks
from tests.served import Served, environment

CHARGEBACK = re.compile(r"(?:^|.*\s)(?:\S*/)?chargeback ([a-z].*)")


def shown() -> Iterator[tuple[str, str]]:
    """Each line of a block that begins a command of ours, with its document."""
    for name, text in DOCUMENTS.items():
        for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("docker build", "docker run", "git ", "|")):
                    continue
                if found := CHARGEBACK.search(line.split("#")[0].split("|")[0].split(" > ")[0]):
                    yield name, found[1]


COMMANDS = sorted(set(shown()))


def test_there_are_commands_to_look_at() -> None:
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


def test_the_first_steps_work_as_printed_one_after_the_other(tmp_path: Path) -> None:
    key = "cbk_…"
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    with Served(tmp_path / "store", words=()) as served:
        for block in blocks(DOCUMENTS["docs/getting-started.md"], "bash"):
            script = block.replace("http://127.0.0.1:8000", served.url).replace("cbk_…", key)
            ended = subprocess.run(
                ("sh", "-eu", "-c", script),
                cwd=tmp_path,
                env=environment(PATH=programs, CHARGEBACK_DATA_DIR=str(tmp_path / "store")),
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 0, (block, ended.stderr)
            key = next(iter(re.findall(r"^API key: (\S+)$", ended.stdout, re.MULTILINE)), key)

    assert (tmp_path / "store.dump").stat().st_size > 10_000


def test_the_references_are_those_of_the_code() -> None:
    checked = subprocess.run(
        (sys.executable, "tools/reference.py", "--check"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
