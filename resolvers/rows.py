"""What a batch resolver returns: rows grouped by parent, or a stream of rows."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]

Selection = frozenset[str]
"""The columns that a query needs of one level; a resolver computes no others."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows of one level, grouped by parent.

    Attributes:
        columns: The position of each column in a row. Columns outside the selection may be
            missing.
        groups: `groups[i]` holds the rows of the i-th parent key, in the order of the response.
            A to-one field has at most one row per group.
        group_columns: Columns that have one value for all rows of a group: one value per group.
    """

    columns: Mapping[str, int]
    groups: Sequence[Sequence[Row]]
    group_columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def positions(names: Iterable[str]) -> Mapping[str, int]:
    """Return the position of each column in rows that have these columns."""
    return {name: index for index, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows of one level of one report, in chunks, for documents of any length.

    Attributes:
        columns: The position of each column in a row, as in `Grouped`.
        chunks: The rows, by parent and in order within each. The first column numbers the parent,
            from 1. The reader closes the generator.
    """

    columns: Mapping[str, int]
    chunks: AsyncGenerator[Sequence[Row], None]
