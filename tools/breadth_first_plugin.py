"""A pytest plugin that runs graphql-core's own tests on another executor.

`EXECUTOR=strawberry` selects Strawberry's executor; anything else selects the breadth-first one.
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
_instances: list[str] = []


class CountedExecutor(_BASE):
    """Counts its instances, to show that the tests used it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _instances.append(_BASE.__name__)


# The function `execute` hides the module of the same name.
_module: Any = sys.modules[f"{graphql.execution.__name__}.execute"]
_module.IncrementalExecutor = CountedExecutor


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how often the executor was used."""
    terminalreporter.write_line(f"{_BASE.__name__}: {len(_instances)} executions")
