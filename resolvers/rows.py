"""What a batch resolver takes and returns: keys of all parents in, rows grouped by parent out."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]

Selection = frozenset[str]
"""The columns that a query's selection needs of one level; a resolver computes no others."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows of one nesting level, grouped by parent.

    `columns` says at which position of a row each column stands. `groups[i]` holds the rows of
    the i-th parent key that the resolver was given, in the order of the response; a to-one field
    has no row or one in each group. Columns that were not selected may be missing from `columns`.
    """

    columns: Mapping[str, int]
    groups: Sequence[Sequence[Row]]


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows of one nesting level of one report, some at a time, for documents of any length.

    `columns` is as in `Grouped`. The rows come by parent, and within it in order; the first column
    of each says which parent it is, from 1. `chunks` is the reader's to close.
    """

    columns: Mapping[str, int]
    chunks: AsyncGenerator[Sequence[Row], None]
