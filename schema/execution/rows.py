"""The rows that batch functions return."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

Row: TypeAlias = tuple[Any, ...]
Columns: TypeAlias = Mapping[str, int]
"""The position of each column in a row."""
Selection: TypeAlias = frozenset[str]
"""The columns that a query needs of the rows of one level."""


class GroupedRows(Protocol):
    """The result of a batch function: rows grouped by parent."""

    @property
    def columns(self) -> Columns:
        """The position of each column in every row."""

    @property
    def groups(self) -> Sequence[Sequence[Row]]:
        """The rows of each key, in the order of the keys."""

    @property
    def group_columns(self) -> Mapping[str, Sequence[Any]]:
        """Columns with one value for all rows of a group: one value per group."""


class GroupHeads(NamedTuple):
    """One row per group, made of the columns that its rows share."""

    columns: Columns
    groups: Sequence[Sequence[Row]]
    group_columns: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, grouped: GroupedRows) -> "GroupHeads":
        """Return the heads of the groups."""
        shared = grouped.group_columns
        values = zip(*shared.values(), strict=True) if shared else repeat((), len(grouped.groups))
        return cls({name: at for at, name in enumerate(shared)}, [[row] for row in values], {})


class LevelRows(NamedTuple):
    """The rows of all groups of a level, one after the other."""

    rows: Sequence[Row]
    grouped: GroupedRows

    @classmethod
    def flatten(cls, grouped: GroupedRows) -> "LevelRows":
        """Join the groups."""
        return cls(list(chain.from_iterable(grouped.groups)), grouped)

    def shared_columns(self, names: Iterable[str]) -> dict[str, list[Any]]:
        """Return those of the columns that rows take from their group: a value for each row."""
        groups = self.grouped.group_columns.keys() - self.grouped.columns.keys()
        return {name: list(self.column(name)) for name in names if name in groups}

    def column(self, name: str) -> Iterable[Any]:
        """Return a column's value of every row."""
        if name in self.grouped.columns:
            return map(itemgetter(self.grouped.columns[name]), self.rows)
        values = self.grouped.group_columns[name]
        return chain.from_iterable(map(repeat, values, map(len, self.grouped.groups)))
