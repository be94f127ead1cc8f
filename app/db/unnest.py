"""Pass thousands of rows to a statement as one array per column, for `unnest`.

Each array is a text parameter in PostgreSQL's array syntax. For a list, the driver would check
each element in Python, which takes longer than PostgreSQL needs to store the rows.

An insert takes the organization's id from a row (`OWNER`), so that Citus can pass the whole
statement on to the node that has the organization.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.domain.errors import InvalidArgument

OWNER = """(
    SELECT organization_id FROM organization WHERE organization_id = :organization_id
) AS owner"""
"""FROM item with one row: the id of the organization, which exists."""


class Columns:
    """The names and types of columns, with the SQL that unnests them.

    Args:
        rows: The row type, if there is one; its fields must equal the columns.
        types: The PostgreSQL type of each column, in the order of a row's values.

    Raises:
        KeyError: A type is not supported.
        TypeError: The fields of `rows` differ from the columns.
    """

    def __init__(self, rows: type[NamedTuple] | None = None, /, **types: str) -> None:
        if rows is not None and rows._fields != tuple(types):
            raise TypeError(f"{rows.__name__} has {rows._fields}; its columns are {(*types,)}.")
        self._formatters = {name: _FORMATTERS[type_] for name, type_ in types.items()}
        arrays = ", ".join(array_expression(name, type_) for name, type_ in types.items())
        self.names = ", ".join(types)
        self.unnest_call = f"unnest({arrays})"

    def as_rows(self, alias: str) -> str:
        """Return the FROM item that yields the rows."""
        return f"{self.unnest_call} AS {alias} ({self.names})"

    def bind_rows(self, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
        """Return the parameters for at least one row."""
        return self.bind_columns(zip(*rows, strict=True))

    def bind_columns(self, columns: Iterable[Sequence[Any]]) -> dict[str, str]:
        """Return the parameters for the values of each column."""
        formatters = zip(self._formatters.items(), columns, strict=True)
        return {name: format_(values) for (name, format_), values in formatters}


def lookup(table: str, key: str, rows: str) -> str:
    """Return the LATERAL item `directory`: the row of a table with the same key as `rows`.

    OFFSET 0 keeps the planner from merging the look-up into the outer query. It would compare all
    pairs of rows where it estimates few of them: it takes an array to have ten elements, and the
    organization to be of average size.
    """
    return f"""LATERAL (
        SELECT * FROM {table}
        WHERE organization_id = :organization_id AND {key} = {rows}.{key} OFFSET 0
    ) AS directory"""


def any_of(name: str, type_: str) -> str:
    """Return the SQL expression for any element of an array that is a text parameter.

    The sub-select keeps PostgreSQL from parsing the text for each row.
    """
    return f"ANY(CAST((SELECT {array_expression(name, type_)}) AS {type_}[]))"


def array_expression(name: str, type_: str) -> str:
    """Return the SQL expression that reads a text parameter as an array; see also `any_of`."""
    return f"CAST(CAST(:{name} AS text) AS {type_}[])"


def format_array(values: Iterable[object]) -> str:
    """Format an array of ids, numbers, dates or booleans; None is NULL."""
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"


def format_timestamps(values: Iterable[datetime | None]) -> str:
    """Format an array of timestamps; None is NULL.

    They are in UTC, because PostgreSQL rejects offsets of 16 hours or more.
    """
    return "{" + ",".join([_format_utc(value) if value else "NULL" for value in values]) + "}"


def _format_utc(value: datetime) -> str:
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()


def format_texts(values: Sequence[str | None]) -> str:
    """Format an array of texts; None is NULL.

    Raises:
        InvalidArgument: A text contains U+0000, which PostgreSQL cannot store.
    """
    texts = [value for value in values if value is not None]
    joined = "\0".join(texts)
    if texts and joined.count("\0") != len(texts) - 1:
        raise InvalidArgument("A value cannot be stored or compared: a text holds U+0000.")
    if texts and len(texts) == len(values):
        return "{" + _quote(joined).replace("\0", '","') + "}"
    return "{" + ",".join(["NULL" if value is None else _quote(value) for value in values]) + "}"


def _quote(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


_FORMATTERS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("bigint", "boolean", "date", "integer", "numeric", "uuid"), format_array),
    "text": format_texts,
    "timestamptz": format_timestamps,
}
