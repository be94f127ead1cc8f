"""The rows of a file, with the number that a person finds them by."""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.connectors.files.mapping import Mapping
from app.domain.errors import InvalidArgument

Row = MappingOf[str, Any]
_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
_NO_PARQUET = "Parquet needs an extra: pip install 'chargeback-admin-api[parquet]'"


def read_rows(name: str, mapping: Mapping) -> Iterator[tuple[int, Row]]:
    """Each row of a CSV file, plain or gzipped, or of a Parquet file; known by their first bytes.

    The number is that of the line of a CSV file (the header is line 1), of the row (from 1) of a
    Parquet file.

    Raises:
        InvalidArgument: The file cannot be read, or lacks a column that the mapping names.
    """
    try:
        with Path(name).open("rb") as file:
            begin = file.read(4)
        rows = _parquet(name, mapping) if begin == _PARQUET else _csv(name, mapping)
        yield from rows
    except UnicodeError as error:
        raise InvalidArgument(
            f"{name}: cannot be read as {mapping.encoding}: {error}; a mapping may say another "
            f"encoding, such as latin-1 or utf-16."
        ) from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"{name}: cannot be read: {reason}.") from error


def _csv(name: str, mapping: Mapping) -> Iterator[tuple[int, Row]]:
    with ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb"))
        packed = file.peek(2)[:2] == _GZIP
        binary = stack.enter_context(gzip.open(file)) if packed else file
        # A mark of the byte order before the first name is no part of it.
        is_utf8 = codecs.lookup(mapping.encoding).name == "utf-8"
        encoding = "utf-8-sig" if is_utf8 else mapping.encoding
        text = io.TextIOWrapper(binary, encoding=encoding, newline="")
        reader = csv.reader(text, delimiter=mapping.delimiter, strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        _insist_on_columns(name, mapping, header)
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(header):
                raise InvalidArgument(
                    f"{name}:{line}: has {len(cells)} cells, and the header {len(header)}."
                )
            if any(cells):
                yield line, dict(zip(header, cells, strict=False))
            line = reader.line_num + 1


def _parquet(name: str, mapping: Mapping) -> Iterator[tuple[int, Row]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InvalidArgument(f"{name}: {_NO_PARQUET}.") from None
    try:
        with ParquetFile(name) as file:
            header = file.schema_arrow.names
            _insist_on_columns(name, mapping, header)
            wanted = [cell.column for cell in mapping.cells.values() if cell.column in header]
            number = 0
            for batch in file.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except ArrowException as error:
        raise InvalidArgument(f"{name}: no Parquet file: {error}.") from None


def _insist_on_columns(name: str, mapping: Mapping, header: list[str]) -> None:
    """Columns that a mapping names must be there; of our own names, those that a row needs."""
    if not header:
        raise InvalidArgument(f"{name}: is empty: its first line must name the columns.")
    required = {column.name for column in mapping.columns if column.required}
    for ours, cell in mapping.cells.items():
        named = cell.column is not None and (cell.column != ours or ours in required)
        if named and cell.column not in header:
            raise InvalidArgument(
                f"{name}: there is no column {cell.column!r}; it has {', '.join(header)[:500]}."
                f"{_other_delimiter(header)}"
            )
    wanted = {cell.column for cell in mapping.cells.values()} & {*header}
    if not wanted:
        raise InvalidArgument(
            f"{name}: has none of the columns of {mapping.table}.{_other_delimiter(header)}"
        )
    for column in wanted:
        if (count := header.count(str(column))) > 1:
            raise InvalidArgument(f"{name}: {count} columns are called {column!r}.")


def _other_delimiter(header: list[str]) -> str:
    """A hint, when the whole header is one cell that something else seems to divide."""
    found = [each for each in ";\t|," if len(header) == 1 and each in header[0]]
    return f" Is {found[0]!r} between its cells? A mapping says so: delimiter." if found else ""
