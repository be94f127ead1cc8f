"""A pytest plugin: graphql-core's own tests execute with another executor.

`EXECUTOR=strawberry` takes Strawberry's standard one, anything else the breadth-first one.
"""

import os
import sys
from typing import Any

import graphql.execution
import pytest
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.execution import BreadthFirstExecutor

_BASE: Any = (
    StrawberryGraphQLCoreExecutionContext
    if os.environ.get("EXECUTOR") == "strawberry"
    else BreadthFirstExecutor
)
_made: list[str] = []


class CountedExecutor(_BASE):
    """Shows that the tests did run on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _made.append(_BASE.__name__)


# The function of the same name hides the module.
_module: Any = sys.modules[f"{graphql.execution.__name__}.execute"]
_module.IncrementalExecutor = CountedExecutor


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often the executor was used."""
    terminalreporter.write_line(f"{_BASE.__name__}: {len(_made)} executions")
