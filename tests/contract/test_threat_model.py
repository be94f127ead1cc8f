"""The threat model of SECURITY.md: every row names what stops an attack and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TEST = re.compile(r"`((?:tests/)?(?:[a-z_]+/)(?:[a-z_]+\.py)?)`")


def _rows() -> list[tuple[str, ...]]:
    text = (ROOT / "SECURITY.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    start = next(at for at, line in enumerate(lines) if line.startswith("| attacker's goal"))
    return [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines[start + 1 :]]


ROWS = _rows()


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_row_of_the_threat_model_names_tests_that_exist(row: tuple[str, ...]) -> None:
    goal, defence, tests, risk = row
    named = _TEST.findall(tests) + re.findall(r"`tests/([a-z_/]+\.py)`", defence)

    assert goal, row
    assert defence == "—" or named, goal
    assert risk, goal
    for name in named:
        assert (ROOT / "tests" / name.removeprefix("tests/")).exists(), name


def test_the_threat_model_has_rows() -> None:
    assert len(ROWS) > 15
