"""The version, the completion of a command's name, and the start import nothing needless."""

import os
import subprocess
import sys

import pytest

SLOW = {"alembic", "asyncpg", "graphql", "rich", "sqlalchemy", "strawberry", "typer"}
MAIN = f"""
import sys
sys.argv[0] = "chargeback"
from app.cli import main
try:
    main()
except SystemExit:
    pass
print(sorted({SLOW!r} & {{name.partition(".")[0] for name in sys.modules}}))
"""


def run_main(*arguments: str, **environment: str) -> list[str]:
    """Run the command line; return what it prints and, last, the slow modules that it imported."""
    return run_program(MAIN, *arguments, **environment)


def run_program(program: str, *arguments: str, **environment: str) -> list[str]:
    """Run a program, and return the lines that it prints."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def test_the_version_is_printed_without_slow_imports() -> None:
    version, imported = run_main("--version")

    assert version.count(".") == 2
    assert imported == "[]"


def test_only_serve_imports_the_schema() -> None:
    *_, imported = run_main("--help")

    assert "graphql" not in imported
    assert "strawberry" not in imported


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("chargeback mo", ["months"]),
        ("chargeback\nre", ["report", "restore"]),  # Bash separates the words by line breaks.
    ],
)
def test_a_name_is_completed_without_slow_imports(words: str, completed: list[str]) -> None:
    *printed, imported = run_main(
        _CHARGEBACK_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="1"
    )

    assert printed == completed
    assert imported == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("words", ["chargeback", "chargeback mo", "chargeback r", "chargeback x"])
def test_names_are_completed_as_typer_completes_them(shell: str, words: str) -> None:
    line = words if " " in words else f"{words} "
    environment = {
        "_CHARGEBACK_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": line,
    }
    *printed, _ = run_main(**environment)
    program = MAIN.replace("from app.cli import main", "from app.cli.commands import cli as main")
    *expected, _ = run_program(program, **environment)

    assert printed == expected


def test_an_option_of_the_root_is_completed_without_the_store() -> None:
    *printed, imported = run_main(
        _CHARGEBACK_COMPLETE="complete_bash", COMP_WORDS="chargeback --v", COMP_CWORD="1"
    )

    assert [each for each in printed if each] == ["--version"]
    assert imported == "['typer']"


def test_the_words_of_a_group_are_completed() -> None:
    printed = run_main(
        _CHARGEBACK_COMPLETE="complete_bash", COMP_WORDS="chargeback months ", COMP_CWORD="2"
    )

    assert {"list", "close", "reopen", "verify"} <= {*printed}
    assert "graphql" not in printed[-1]


def test_the_service_starts_without_the_library_of_scim() -> None:
    program = "import sys, app.main; print('scim2_models' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert printed.stdout == "False\n"
