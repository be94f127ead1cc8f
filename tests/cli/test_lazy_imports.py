"""The version, the completion of a command's name, and the start import nothing needless."""

import os
import subprocess
import sys

import pytest

SLOW = {"alembic", "asyncpg", "graphql", "rich", "sqlalchemy", "strawberry"}
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
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def test_the_version_is_printed_without_slow_imports() -> None:
    version, imported = run_main("--version")

    assert version.count(".") == 2
    assert imported == "[]"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("chargeback mo", ["months"]),
        ("chargeback re", ["report", "restore"]),
        ("chargeback --v", ["--version"]),
    ],
)
def test_a_name_is_completed_without_slow_imports(words: str, completed: list[str]) -> None:
    *printed, imported = run_main(
        _CHARGEBACK_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="1"
    )

    assert [each for each in printed if each] == completed
    assert imported == "[]"


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
