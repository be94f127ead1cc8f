"""The kinds of field that read rows, and the row as an object for standard execution."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from schema.execution.rows import Columns, LevelRows, Row, Selection


class RowObject:
    """A row as an object, for standard execution.

    It is the `self` of ordinary resolvers. Its attributes are the fields of its type and the
    columns of the row.
    """

    __slots__ = ("_columns", "_group", "_row")
    _row_fields: Mapping[str, StrawberryField] = {}

    def __init__(self, columns: Columns, row: Row, group: Mapping[str, Any]) -> None:
        self._columns = columns
        self._row = row
        self._group = group

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._row_fields:
            return self._row_fields[name].get_result(self, None, [], {})
        if name in self._columns:
            return self._row[self._columns[name]]
        if name in self._group:
            return self._group[name]
        raise AttributeError(f"'{type(self).__name__}' has no column '{name}'.")


@cache
def row_class(origin: Any) -> type[RowObject]:
    """Return a class of row objects that are instances of `origin` and have its methods."""
    fields = origin.__strawberry_definition__.fields
    row_fields = {
        each.python_name: each
        for each in fields
        if isinstance(each, ColumnField | EmbeddedField | GroupRowsField)
    }
    return type(origin.__name__, (RowObject, origin), {"__slots__": (), "_row_fields": row_fields})


def read_column(source: RowObject, name: str) -> Any:
    """Return the value of a column.

    Raises:
        LookupError: The batch function did not return the column.
    """
    if name in source._columns:
        return source._row[source._columns[name]]
    if name in source._group:
        return source._group[name]
    raise LookupError(f"The batch function returned no column '{name}'.")


class ColumnField(StrawberryField):
    """A field that is a column of the row, or is computed from several columns.

    Its options are in `metadata`, which Strawberry keeps when it copies fields of generic types.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.metadata["columns"] or (self.python_name,)

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        """Read the columns of one row, in standard execution."""
        if not isinstance(source, RowObject):
            return super().get_result(source, info, args, kwargs)
        values = [read_column(source, name) for name in self.columns]
        convert = self.metadata["convert"]
        if convert is None or (len(values) == 1 and values[0] is None):
            return values[0]
        return convert(*values)


class EmbeddedField(StrawberryField):
    """A field whose object is made from its parent's row.

    With a prefix, its columns are those of the row whose names begin with the prefix.
    """

    @property
    def prefix(self) -> str:
        """What the names of the object's columns begin with in the parent's row."""
        prefix: str = self.metadata["prefix"]
        return prefix

    def columns_of(self, columns: Columns) -> Columns:
        """Return the positions of the object's columns in the parent's row."""
        if not self.prefix:
            return columns
        return {
            name.removeprefix(self.prefix): position
            for name, position in columns.items()
            if name.startswith(self.prefix)
        }

    @property
    def origin_class(self) -> Any:
        """The class that declares the object's type."""
        return self.type.resolve_type() if isinstance(self.type, LazyType) else self.type

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        """Make the object from one row, in standard execution."""
        if not isinstance(source, RowObject):
            return super().get_result(source, info, args, kwargs)
        columns = self.columns_of(source._columns)
        return row_class(self.origin_class)(columns, source._row, source._group)


class GroupRowsField(StrawberryField):
    """The list of rows on a type that stands for a whole group."""

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        """Return the rows of one group as objects, in standard execution."""
        if not isinstance(source, RowObject):
            return super().get_result(source, info, args, kwargs)
        return source._row[0]


class BatchedField(StrawberryField):
    """A field whose batch function serves all parents of a level."""

    is_async = True  # Every parent waits for the others, even if the function is not async.

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that form the key, without those of `reads`."""
        key: str | tuple[str, ...] = self.metadata["key"]
        return (key,) if isinstance(key, str) else key

    @property
    def reads(self) -> Callable[[Selection], tuple[str, ...]] | None:
        """Returns further columns of the key for a selection; None if there are never any."""
        reads: Callable[[Selection], tuple[str, ...]] | None = self.metadata["reads"]
        return reads

    def read_key(self, source: Any, columns: Sequence[str]) -> Any:
        """Return the key of one parent."""
        read = read_column if isinstance(source, RowObject) else getattr
        key = tuple(read(source, name) for name in columns)
        return key[0] if isinstance(self.metadata["key"], str) else key

    def read_keys(self, parents: LevelRows, columns: Sequence[str]) -> Sequence[Any]:
        """Return the keys of all parents of a level."""
        values = [parents.column(name) for name in columns]
        if isinstance(self.metadata["key"], str):
            return list(values[0])
        return list(zip(*values, strict=True)) if values else [()] * len(parents.rows)
