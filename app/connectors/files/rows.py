"""Read the rows of CSV and Parquet files, with the row numbers that error messages show."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from app.connectors.files.mapping import Row, TableMapping
from app.domain.errors import InvalidArgument
from app.gzip_stream import open_plain

_PARQUET_MAGIC = b"PAR1"
_PARQUET_MISSING = "Parquet needs an extra: pip install 'chargeback-admin-api[parquet]'"


def read_rows(name: str, mapping: TableMapping, unread: set[str]) -> Iterator[tuple[int, Row]]:
    """Yield each row of a CSV file, plain or gzipped, or of a Parquet file, with its number.

    The first bytes decide the format. In a CSV file the number is the line (the header is line 1);
    in a Parquet file it counts rows from 1.

    Args:
        name: The path of the file.
        mapping: How to read it.
        unread: Receives the names of the columns that the mapping leaves out.

    Raises:
        InvalidArgument: The file cannot be read, lacks a column that the mapping names, or has
            one that the table does not have.
    """
    try:
        with Path(name).open("rb") as file:
            magic = file.read(4)
        read = _read_parquet if magic == _PARQUET_MAGIC else _read_csv
        yield from read(name, mapping, unread)
    except UnicodeError as error:
        raise InvalidArgument(
            f"{name}: cannot be read as {mapping.encoding}: {error}; set another encoding in the "
            "mapping, such as latin-1 or utf-16."
        ) from error
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"{name}: cannot be read: {reason}.") from error


def _read_csv(name: str, mapping: TableMapping, unread: set[str]) -> Iterator[tuple[int, Row]]:
    with ExitStack() as stack:
        file = stack.enter_context(Path(name).open("rb"))
        # `utf-8-sig` removes a byte-order mark, which would else become part of the first name.
        is_utf8 = codecs.lookup(mapping.encoding).name == "utf-8"
        encoding = "utf-8-sig" if is_utf8 else mapping.encoding
        text = io.TextIOWrapper(open_plain(file), encoding=encoding, newline="")
        # Without `skipinitialspace`, quotes after a space would be part of the value.
        reader = csv.reader(text, delimiter=mapping.delimiter, strict=True, skipinitialspace=True)
        header = [name.strip() for name in next(reader, [])]
        unread |= _check_header(name, mapping, header)
        line = reader.line_num + 1
        for values in reader:
            if len(values) > len(header):
                raise InvalidArgument(
                    f"{name}:{line}: has {len(values)} values, but the header has {len(header)} "
                    "columns."
                )
            if any(values):
                yield line, dict(zip(header, values, strict=False))
            line = reader.line_num + 1


def _read_parquet(name: str, mapping: TableMapping, unread: set[str]) -> Iterator[tuple[int, Row]]:
    try:
        from pyarrow import ArrowException

        from app.connectors.files.parquet import iter_parquet_rows, open_parquet
    except ImportError:
        raise InvalidArgument(f"{name}: {_PARQUET_MISSING}.") from None
    try:
        with open_parquet(name) as file:
            header = file.schema_arrow.names
            unread |= _check_header(name, mapping, header)
            used = {source.column for source in mapping.column_sources.values()}
            columns = [column for column in header if column in used]
            yield from enumerate(iter_parquet_rows(file, columns), 1)
    except ArrowException as error:
        raise InvalidArgument(f"{name}: not a valid Parquet file: {error}.") from None


def _check_header(name: str, mapping: TableMapping, header: list[str]) -> set[str]:
    """Reject a header that lacks a column; return the columns that the mapping leaves out.

    Columns that the mapping renames must exist. Columns under their standard name must exist only
    if every row needs them. Without a mapping that names the columns, none may be unknown: it is
    probably misspelt.
    """
    if not header:
        raise InvalidArgument(f"{name}: is empty; its first line must name the columns.")
    required = {column.name for column in mapping.columns if column.required}
    for standard, source in mapping.column_sources.items():
        is_expected = source.column is not None and (
            source.column != standard or standard in required
        )
        if is_expected and source.column not in header:
            raise InvalidArgument(
                f"{name}: has no column {source.column!r}; it has {', '.join(header)[:500]}."
                f"{_suggest_delimiter(header)}"
            )
    used = {source.column for source in mapping.column_sources.values()} & {*header}
    if not used:
        known = ", ".join(
            str(source.column) for source in mapping.column_sources.values() if source.column
        )
        raise InvalidArgument(
            f"{name}: has none of the columns of {mapping.table} ({known}); it has "
            f"{', '.join(header)[:500]}.{_suggest_delimiter(header)}"
        )
    for column in used:
        if (count := header.count(str(column))) > 1:
            raise InvalidArgument(f"{name}: has {count} columns named {column!r}.")
    unread = {*header} - used
    if unread and not mapping.names_columns:
        raise InvalidArgument(
            f"{name}: {mapping.table} has no column {', '.join(map(repr, sorted(unread)))[:500]}; "
            f"it has {', '.join(column.name for column in mapping.columns)}. To leave columns "
            "out, name the others under [columns] in a mapping."
        )
    return unread


def _suggest_delimiter(header: list[str]) -> str:
    """Return a hint if the header is a single name that contains another common delimiter."""
    found = [each for each in ";\t|," if len(header) == 1 and each in header[0]]
    if not found:
        return ""
    return f" If {found[0]!r} separates its columns, set `delimiter` in a mapping."
