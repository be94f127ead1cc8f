"""Statements that are composed once and run often.

SQLAlchemy composes a statement in milliseconds, which is what a small report takes as a whole. So
each shape of a statement is composed and compiled once; what differs from run to run are its
parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, Self, cast

from sqlalchemy import CompoundSelect, Dialect, Select
from sqlalchemy.dialects.postgresql import asyncpg

_DIALECT: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # it declares no types
_MOST_SHAPES = 500
_Shape = ParamSpec("_Shape")
Composed = Select[Any] | CompoundSelect[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the driver takes it.

    Attributes:
        text: With `$1`, `$2` … where its parameters go.
        names: The names of the parameters, in that order.
        constants: Those that have a value in every run.
        columns: At which position of a row each column stands.
    """

    text: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    columns: Mapping[str, int]

    @classmethod
    def of(cls, select: Composed) -> Self:
        """Compile a statement; a parameter that has no value must be given one in each run."""
        compiled = select.compile(dialect=_DIALECT)
        names = tuple(getattr(compiled, "positiontup", None) or ())
        known = {name: value for name, value in compiled.params.items() if value is not None}
        columns = {name: index for index, name in enumerate(select.selected_columns.keys())}
        return cls(str(compiled), names, known, columns)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values of all parameters, in the order in which the driver takes them."""
        given = {**self.constants, **parameters}
        return [given[name] for name in self.names]


def compile_once(
    compose: Callable[_Shape, Composed],
) -> Callable[_Shape, Statement]:
    """Compile what a function composes, once for each shape that it is asked for."""

    def compiled(*shape: _Shape.args, **named: _Shape.kwargs) -> Statement:
        return Statement.of(compose(*shape, **named))

    known: Any = wraps(compose)(lru_cache(_MOST_SHAPES)(compiled))
    return cast("Callable[_Shape, Statement]", known)
