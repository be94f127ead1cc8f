"""Exports as Parquet: one section; the status of each month is in the file's metadata."""

from collections.abc import Mapping, Sequence
from typing import IO, Any

from app.export.extras import import_pyarrow
from app.export.file_info import FileInfo
from app.export.rows import Cells, Column, Kind

pyarrow, parquet = import_pyarrow()

_TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: pyarrow.string(),
    Kind.MONTH: pyarrow.string(),
    Kind.COUNT: pyarrow.int64(),
    Kind.MEGABYTES: pyarrow.float64(),
    Kind.PERCENT: pyarrow.float64(),
    Kind.PRICE: pyarrow.decimal128(20, 10),
    Kind.FRACTION: pyarrow.decimal128(38, 12),
    Kind.INSTANT: pyarrow.timestamp("us", tz="UTC"),
    Kind.FLAG: pyarrow.bool_(),
}


class ParquetWriter:
    """Writes Parquet, a row group for each chunk of rows; columns are spelled as in GraphQL."""

    def __init__(self, file: IO[bytes], info: FileInfo) -> None:
        # The file is emptied between chunks, so its position says nothing about the whole.
        self._sink, self._info = _Sink(file), info
        self._writer: Any = None
        self._schema: Any = None

    def start_section(self, _: str, columns: Sequence[Column]) -> None:
        """Start the file: columns and metadata."""
        statuses = {f"status {month}": each for month, each in self._info.statuses.items()}
        types = {**_TYPES, Kind.AMOUNT: pyarrow.decimal128(38, self._info.decimals)}
        self._schema = pyarrow.schema(
            [pyarrow.field(column.name, types[column.kind]) for column in columns],
            {**statuses, **self._info.metadata},
        )
        self._writer = parquet.ParquetWriter(
            pyarrow.PythonFile(self._sink, mode="w"), self._schema, compression="zstd"
        )

    def write_rows(self, rows: Sequence[Cells]) -> None:
        """Write rows."""
        columns = [
            pyarrow.array([_to_value(value) for value in column], field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pyarrow.Table.from_arrays(columns, schema=self._schema))

    def end_section(self) -> None:
        """Complete the file."""
        self._writer.close()

    def close(self) -> None:
        """Write nothing: the section is the file."""


def _to_value(value: object) -> Any:
    return str(value) if isinstance(value, tuple) else value


class _Sink:
    """A file that counts the bytes written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._position = file, 0
        self.closed = False

    def write(self, part: bytes) -> int:
        """Append bytes."""
        self._file.write(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def flush(self) -> None:
        """Do nothing: the file is read when the rows were written."""

    def close(self) -> None:
        """Do nothing: the file belongs to the export."""
