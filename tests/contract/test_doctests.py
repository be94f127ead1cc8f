"""The examples in the docstrings of `app/domain` are correct."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

MODULES = sorted(
    f"app.domain.{path.stem}"
    for path in Path("app/domain").glob("*.py")
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_are_correct(name: str) -> None:
    result = doctest.testmod(import_module(name))

    assert result.attempted > 0
    assert result.failed == 0
