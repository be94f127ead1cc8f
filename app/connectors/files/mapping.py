"""A mapping: which table a file is, and what its columns are called there (TOML)."""

import re
import tomllib
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from app.connectors.files.tables import (
    KINDS,
    TABLES,
    Column,
    InvalidValue,
    Value,
    parse_integer,
    parse_timestamp,
)
from app.domain.errors import InvalidArgument
from app.domain.events import Identifier


class ColumnSource(Struct, forbid_unknown_fields=True):
    """How a column of ours is filled: from one of theirs, or with one value for all rows.

    Attributes:
        column: Theirs.
        value: The same for all rows, instead of a column.
        values: What their values are here; others stay as they are.
        times: What their numbers are multiplied by: the bytes of their unit.
    """

    column: str | None = None
    value: str | int | bool | None = None
    values: dict[str, str | int | bool] | None = None
    times: float | int = 1


class MappingFile(Struct, forbid_unknown_fields=True):
    """The file of a mapping."""

    source: Identifier
    table: str
    columns: dict[str, str | ColumnSource] = {}
    at: Any = None
    complete: bool = False
    delimiter: str = ","
    encoding: str = "utf-8"
    time_format: str | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping.

    Attributes:
        source: The source of the events.
        table: Which table of ours.
        cells: By column of ours, how it is filled.
        at: When all rows were true, if they do not say so themselves.
        complete: Whether a file lists all there is, so that what it lacks is gone.
        delimiter: Between the cells of a CSV file.
        encoding: Of a CSV file.
        time_format: How moments are written, as `strptime` reads it; None is ISO 8601.
    """

    source: str
    table: str
    cells: MappingOf[str, ColumnSource]
    at: datetime | None
    complete: bool
    delimiter: str = ","
    encoding: str = "utf-8"
    time_format: str | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the table."""
        return TABLES[self.table]

    def theirs(self, name: str) -> str:
        """What a column of ours is called in the file."""
        cell = self.cells.get(name)
        return (cell.column if cell else None) or name

    def value(self, column: Column, row: MappingOf[str, Any]) -> Value | None:
        """The value of a column in a row; None when the row does not say it.

        Raises:
            InvalidValue: It is missing and needed, or not what the column holds.
        """
        cell = self.cells.get(column.name)
        found = None if cell is None else self._found(cell, row)
        if _says_nothing(found):
            if column.required:
                raise InvalidValue("is needed in each row")
            return None
        if column.kind == "number":
            return parse_integer(found, Decimal(str(cell.times)) if cell else Decimal(1))
        return KINDS[column.kind](found, self.time_format)

    def _found(self, cell: ColumnSource, row: MappingOf[str, Any]) -> Any:
        if cell.column is None:
            return cell.value
        found = row.get(cell.column)
        if cell.values is not None and found is not None:
            return cell.values.get(str(found).strip(), found)
        return found


def _says_nothing(found: Any) -> bool:
    """An empty cell; a Parquet file that pandas wrote has NaN for it."""
    if isinstance(found, str):
        return not found.strip()
    return found is None or (isinstance(found, float) and isnan(found))


def default_mapping(source: str, table: str, at: datetime | None, *, complete: bool) -> Mapping:
    """The mapping of a file whose columns have our names."""
    return _checked(MappingFile(source, table, at=at, complete=complete), "--table")


def read_mapping(path: Path, at: datetime | None, *, complete: bool) -> Mapping:
    """The mapping in a file.

    Args:
        path: The file.
        at: When all rows were true, instead of what the file says.
        complete: Whether to take files as complete, whatever it says.

    Raises:
        InvalidArgument: It cannot be read, or is none; says where.
    """
    try:
        written = msgspec.convert(tomllib.loads(path.read_text()), MappingFile)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidArgument(f"{path}: no mapping: {error}.") from None
    written.at = at or written.at
    written.complete = written.complete or complete
    return _checked(written, str(path))


def _checked(written: MappingFile, where: str) -> Mapping:
    columns = TABLES.get(written.table)
    if columns is None:
        raise InvalidArgument(
            f"{where}: table: must be one of {', '.join(TABLES)}; got {written.table!r}."
        )
    known = {column.name for column in columns}
    for name, cell in written.columns.items():
        if name not in known:
            raise InvalidArgument(
                f"{where}: columns: {written.table} has no column {name!r}; it has "
                f"{', '.join(sorted(known))}."
            )
        if isinstance(cell, ColumnSource) and (cell.column is None) == (cell.value is None):
            raise InvalidArgument(f"{where}: columns.{name}: needs a column or a value.")
    _insist_on_reading(written, where)
    at = _moment(written.at, where)
    if written.complete and (at is None or written.table == "usage"):
        raise InvalidArgument(
            f"{where}: a complete directory or inventory needs one moment: give --at."
        )
    return Mapping(
        written.source,
        written.table,
        _cells(written, columns),
        at,
        written.complete,
        written.delimiter,
        written.encoding,
        written.time_format,
    )


def _moment(stated: Any, where: str) -> datetime | None:
    try:
        return None if stated is None else parse_timestamp(stated)
    except InvalidValue as problem:
        raise InvalidArgument(f"{where}: at: {problem}; got {stated!r}.") from None


def _insist_on_reading(written: MappingFile, where: str) -> None:
    if len(written.delimiter) != 1 or written.delimiter in _NO_DELIMITERS:
        raise InvalidArgument(
            f"{where}: delimiter: must be one character, and no quote or end of a line; got "
            f"{written.delimiter!r}."
        )
    if written.time_format is not None:
        _insist_on_time_format(written.time_format, where)
    try:
        "".encode(written.encoding)
    except (LookupError, ValueError):
        raise InvalidArgument(
            f"{where}: encoding: {written.encoding!r} is not known; utf-8 and latin-1 are."
        ) from None


_NO_DELIMITERS = '"\r\n\0'


def _insist_on_time_format(form: str, where: str) -> None:
    try:
        datetime.strptime(_SOME_MOMENT.strftime(form), form)  # noqa: DTZ007  nobody reads it
    except (ValueError, re.error) as error:
        raise InvalidArgument(
            f"{where}: time_format: {form!r} cannot be read: {error}; it is like %d.%m.%Y %H:%M."
        ) from None


_SOME_MOMENT = datetime(2026, 11, 25, 13, 14, 15, tzinfo=UTC)


def _cells(written: MappingFile, columns: tuple[Column, ...]) -> dict[str, ColumnSource]:
    """By name; columns that a mapping does not name are not read, without one all are."""
    if not written.columns:
        return {column.name: ColumnSource(column=column.name) for column in columns}
    return {
        name: ColumnSource(column=cell) if isinstance(cell, str) else cell
        for name, cell in written.columns.items()
    }
