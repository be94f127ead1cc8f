"""Rows by the thousand on their way into a statement: one array a column, written as text.

Of a list the driver asks each element, in Python, whether it is an array too, which takes longer
than PostgreSQL needs to store the rows. A text it passes on as it is, for PostgreSQL to read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.domain.errors import InvalidArgument


class Columns:
    """The columns of rows, by name and type: what a statement reads them from, and their values.

    Args:
        rows: What rows come as, where they do: its fields must be the columns.
        types: PostgreSQL's type of each column, in the order in which rows name them.

    Raises:
        KeyError: A type that nobody has said yet how to write.
        TypeError: The rows' fields are others, or in another order.
    """

    def __init__(self, rows: type[NamedTuple] | None = None, /, **types: str) -> None:
        if rows is not None and rows._fields != tuple(types):
            raise TypeError(f"{rows.__name__} has {rows._fields}; its columns are {(*types,)}.")
        self._writers = {name: _WRITERS[type_] for name, type_ in types.items()}
        arrays = ", ".join(read_array(name, type_) for name, type_ in types.items())
        self.names = ", ".join(types)
        self.unnested = f"unnest({arrays})"

    def rows_as(self, alias: str) -> str:
        """The rows, in a FROM clause."""
        return f"{self.unnested} AS {alias} ({self.names})"

    def parameters(self, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
        """The parameters for rows, of which there is at least one."""
        return self.written(zip(*rows, strict=True))

    def written(self, columns: Iterable[Sequence[Any]]) -> dict[str, str]:
        """The parameters for columns that are at hand as such."""
        named = zip(self._writers.items(), columns, strict=True)
        return {name: write(values) for (name, write), values in named}


def read_array(name: str, type_: str) -> str:
    """The array that a parameter is.

    In the condition of a query it belongs into a sub-select, or it is read again for each row.
    """
    return f"CAST(CAST(:{name} AS text) AS {type_}[])"


def array(values: Iterable[object]) -> str:
    """Of ids, numbers, days and truths; None is NULL."""
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"


def array_of_instants(values: Iterable[datetime | None]) -> str:
    """Of instants, in UTC: PostgreSQL reads no offset of 16 hours or more; None is NULL."""
    return "{" + ",".join([_in_utc(value) if value else "NULL" for value in values]) + "}"


def _in_utc(value: datetime) -> str:
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()


def array_of_texts(values: Sequence[str | None]) -> str:
    """Of texts; None is NULL.

    Raises:
        InvalidArgument: A text holds U+0000: PostgreSQL has no such text.
    """
    texts = [value for value in values if value is not None]
    joined = "\0".join(texts)
    if texts and joined.count("\0") != len(texts) - 1:
        raise InvalidArgument("A value cannot be stored or compared: a text holds U+0000.")
    if texts and len(texts) == len(values):
        return "{" + _quoted(joined).replace("\0", '","') + "}"
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


_WRITERS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("bigint", "boolean", "date", "integer", "numeric", "uuid"), array),
    "text": array_of_texts,
    "timestamptz": array_of_instants,
}
