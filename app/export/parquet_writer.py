"""Exports as Parquet: one section; the status of each month is in the file's metadata."""

from collections.abc import Sequence
from typing import IO, Any

from app.domain.sections import Section
from app.export.extras import import_pyarrow
from app.export.report import Summary
from app.export.rows import Cells, Column, Kind

pyarrow, parquet = import_pyarrow()

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: pyarrow.string(),
    Kind.MONTH: pyarrow.string(),
    Kind.COUNT: pyarrow.int64(),
    Kind.MEGABYTES: pyarrow.float64(),
    Kind.PERCENT: pyarrow.float64(),
    Kind.AMOUNT: pyarrow.decimal128(38, 4),
    Kind.INSTANT: pyarrow.timestamp("us", tz="UTC"),
    Kind.FLAG: pyarrow.bool_(),
}


class ParquetWriter:
    """Writes Parquet, a row group for each chunk of rows; columns are spelled as in GraphQL."""

    def __init__(self, file: IO[bytes], summaries: Sequence[Summary]) -> None:
        # The file is emptied between chunks, so its position says nothing about the whole.
        self._sink, self._summaries = _Sink(file), summaries
        self._writer: Any = None
        self._schema: Any = None

    def start_section(self, _: Section, columns: Sequence[Column]) -> None:
        """Start the file: columns and metadata."""
        status = {f"status {each.month}": each.status for each in self._summaries}
        self._schema = pyarrow.schema(
            [pyarrow.field(column.name, _TYPES[column.kind]) for column in columns], status
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
