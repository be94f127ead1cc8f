"""Mappings: TOML files that say which table a file holds and how its columns are named."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from app.connectors.files.tables import (
    PARSERS,
    TABLES,
    Column,
    InvalidValue,
    Value,
    parse_integer,
    parse_timestamp,
)
from app.domain.errors import InvalidArgument
from app.domain.events import Identifier
from app.domain.validation_messages import describe_validation_error

Row = Mapping[str, Any]
"""The values of a row by column."""

_FORBIDDEN_DELIMITERS = '"\r\n\0'
_SAMPLE_TIME = datetime(2026, 11, 25, 13, 14, 15, tzinfo=UTC)


class ColumnSource(Struct, forbid_unknown_fields=True):
    """Where a column's values come from: a column of the file, or one value for all rows.

    Attributes:
        column: The column of the file.
        value: The value for all rows; replaces `column`.
        values: Translations of the file's values. Values that it lacks stay unchanged.
        times: A factor for numbers, such as the bytes per unit.
    """

    column: str | None = None
    value: str | int | bool | None = None
    values: dict[str, str | int | bool] | None = None
    times: float | int = 1


class MappingFile(Struct, forbid_unknown_fields=True):
    """The content of a mapping file, before its values are checked."""

    source: Identifier
    table: str
    columns: dict[str, str | ColumnSource] = {}
    at: Any = None
    complete: bool = False
    delimiter: str = ","
    encoding: str = "utf-8"
    time_format: str | None = None
    decimal: str | None = None


@dataclass(frozen=True, slots=True)
class TableMapping:
    """A validated mapping.

    Attributes:
        source: The source of the events.
        table: The table: a key of `TABLES`.
        column_sources: Where each column's values come from, by standard column name.
        at: When the rows were true, for rows that do not say it.
        complete: Whether the files list everything, so that entities they lack have ended.
        delimiter: What separates the values of a CSV file.
        encoding: The encoding of a CSV file.
        time_format: The `strptime` format of times; None is ISO 8601.
        decimal: The decimal separator of numbers; None is a point, unless it is ambiguous.
        names_columns: Whether the mapping names the columns to read and leaves out others.
    """

    source: str
    table: str
    column_sources: Mapping[str, ColumnSource]
    at: datetime | None
    complete: bool
    delimiter: str = ","
    encoding: str = "utf-8"
    time_format: str | None = None
    decimal: str | None = None
    names_columns: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns of the table."""
        return TABLES[self.table]

    def file_column(self, name: str) -> str:
        """Return what the file calls a standard column."""
        source = self.column_sources.get(name)
        return (source.column if source else None) or name

    def parse_value(self, column: Column, row: Row) -> Value | None:
        """Return the value of a column in a row; None if it is empty.

        Raises:
            InvalidValue: A required value is missing, or the value does not fit the column.
        """
        source = self.column_sources.get(column.name)
        raw = None if source is None else _look_up(source, row)
        if _is_empty(raw):
            if column.required:
                raise InvalidValue("is required in every row")
            return None
        if column.kind == "number":
            times = Decimal(str(source.times)) if source else Decimal(1)
            return parse_integer(raw, times, self.decimal)
        return PARSERS[column.kind](raw, self.time_format)


def _look_up(source: ColumnSource, row: Row) -> Any:
    if source.column is None:
        return source.value
    raw = row.get(source.column)
    if source.values is not None and raw is not None:
        return source.values.get(str(raw).strip(), raw)
    return raw


def _is_empty(raw: object) -> bool:
    """Return whether a value is empty; pandas writes NaN for empty values to Parquet files."""
    if isinstance(raw, str):
        return not raw.strip()
    return raw is None or (isinstance(raw, float) and isnan(raw))


def default_mapping(
    source: str, table: str, at: datetime | None, *, complete: bool
) -> TableMapping:
    """Return the mapping of a file that uses the standard column names."""
    return _validate(MappingFile(source, table, at=at, complete=complete), "--table")


def read_mapping(path: Path, at: datetime | None, *, complete: bool) -> TableMapping:
    """Read a mapping file.

    Args:
        path: The file.
        at: When the rows were true; overrides the file's `at`.
        complete: Treat the imported files as complete, even if the mapping does not.

    Raises:
        InvalidArgument: The file cannot be read or is not a valid mapping; the message says where.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path}: not a valid mapping: not TOML: {error}.") from None
    try:
        content = msgspec.convert(table, MappingFile)
    except msgspec.ValidationError as error:
        problem = describe_validation_error(error, table)
        raise InvalidArgument(f"{path}: not a valid mapping: {problem}.") from None
    content.at = at or content.at
    content.complete = content.complete or complete
    return _validate(content, str(path))


def _validate(content: MappingFile, where: str) -> TableMapping:
    columns = TABLES.get(content.table)
    if columns is None:
        raise InvalidArgument(
            f"{where}: table: must be one of {', '.join(TABLES)}; got {content.table!r}."
        )
    _check_column_sources(content, columns, where)
    _check_csv_format(content, where)
    at = _parse_at(content.at, where)
    if content.complete and (at is None or content.table == "usage"):
        raise InvalidArgument(
            f"{where}: a complete directory or inventory needs one time for all rows: give --at."
        )
    return TableMapping(
        content.source,
        content.table,
        _column_sources(content, columns),
        at,
        content.complete,
        content.delimiter,
        content.encoding,
        content.time_format,
        content.decimal,
        names_columns=bool(content.columns),
    )


def _check_column_sources(content: MappingFile, columns: tuple[Column, ...], where: str) -> None:
    known = {column.name for column in columns}
    for name, source in content.columns.items():
        if name not in known:
            raise InvalidArgument(
                f"{where}: columns: {content.table} has no column {name!r}; it has "
                f"{', '.join(sorted(known))}."
            )
        if isinstance(source, ColumnSource) and (source.column is None) == (source.value is None):
            raise InvalidArgument(f"{where}: columns.{name}: needs either a column or a value.")


def _parse_at(at: object, where: str) -> datetime | None:
    try:
        return None if at is None else parse_timestamp(at)
    except InvalidValue as problem:
        raise InvalidArgument(f"{where}: at: {problem}; got {at!r}.") from None


def _check_csv_format(content: MappingFile, where: str) -> None:
    if len(content.delimiter) != 1 or content.delimiter in _FORBIDDEN_DELIMITERS:
        raise InvalidArgument(
            f"{where}: delimiter: must be one character other than a quote or a line break; got "
            f"{content.delimiter!r}."
        )
    if content.decimal not in {None, ".", ","}:
        raise InvalidArgument(f"{where}: decimal: must be '.' or ','; got {content.decimal!r}.")
    if content.time_format is not None:
        _check_time_format(content.time_format, where)
    try:
        "".encode(content.encoding)
    except (LookupError, ValueError):
        raise InvalidArgument(
            f"{where}: encoding: {content.encoding!r} is unknown; an example is latin-1."
        ) from None


def _check_time_format(form: str, where: str) -> None:
    try:
        datetime.strptime(_SAMPLE_TIME.strftime(form), form)  # noqa: DTZ007  result is unused
    except (ValueError, re.error) as error:
        raise InvalidArgument(
            f"{where}: time_format: {form!r} is invalid: {error}; an example is %d.%m.%Y %H:%M."
        ) from None


def _column_sources(content: MappingFile, columns: tuple[Column, ...]) -> dict[str, ColumnSource]:
    """Return the sources by column. A mapping without `columns` reads every standard column."""
    if not content.columns:
        return {column.name: ColumnSource(column=column.name) for column in columns}
    return {
        name: ColumnSource(column=source) if isinstance(source, str) else source
        for name, source in content.columns.items()
    }
