"""What a batch resolver takes and returns: keys of all parents in, rows grouped by parent out."""

from collections.abc import Mapping, Sequence
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
