"""Statements that are compiled once and run often.

SQLAlchemy takes milliseconds to compile a statement, which is as long as a small report takes. So
each shape of a statement is compiled once, and runs differ only in their parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, Self, cast

from sqlalchemy import CompoundSelect, Dialect, Select
from sqlalchemy.dialects.postgresql import asyncpg

_DIALECT: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # it declares no types
_MAX_SHAPES = 500
_Shape = ParamSpec("_Shape")
Composable = Select[Any] | CompoundSelect[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A compiled statement, ready for the driver.

    Attributes:
        text: The SQL text, with the placeholders `$1`, `$2` …
        names: The names of the parameters, in the order of the placeholders.
        constants: The parameters whose value never changes.
        columns: The position of each column in a row.
    """

    text: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    columns: Mapping[str, int]

    @classmethod
    def of(cls, select: Composable) -> Self:
        """Compile a statement. Parameters without a value must be bound on each run."""
        compiled = select.compile(dialect=_DIALECT)
        names = tuple(getattr(compiled, "positiontup", None) or ())
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        columns = {name: index for index, name in enumerate(select.selected_columns.keys())}
        return cls(str(compiled), names, constants, columns)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values of all parameters, in the order of the placeholders."""
        values = {**self.constants, **parameters}
        return [values[name] for name in self.names]


def compile_once(
    compose: Callable[_Shape, Composable],
) -> Callable[_Shape, Statement]:
    """Cache the compiled statement of each combination of arguments."""

    def compiled(*shape: _Shape.args, **named: _Shape.kwargs) -> Statement:
        return Statement.of(compose(*shape, **named))

    cached: Any = wraps(compose)(lru_cache(_MAX_SHAPES)(compiled))
    return cast("Callable[_Shape, Statement]", cached)
