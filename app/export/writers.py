"""Write an export in a format, in chunks, so that memory does not grow with the organization."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import IO, Protocol

from app.domain.errors import InvalidArgument
from app.export.file_info import FileInfo
from app.export.report import ReportExport
from app.export.rows import TITLES, Cells, Column
from app.export.summaries import to_file_info

MAX_SHEET_ROWS = 1_000_000
"""Spreadsheets show 1,048,576 rows; totals and corrections need some."""
_CHUNK_BYTES = 131_072
_MEMORY_BYTES = 1_048_576
"""XLSX is complete only at its end; a longer one is written to a temporary file."""


class FileFormat(StrEnum):
    """The formats of an exported file."""

    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """The media type of such a file."""
        return _MEDIA_TYPES[self]

    @property
    def has_one_section(self) -> bool:
        """Whether a file has one table, and so one section."""
        return self in {FileFormat.CSV, FileFormat.PARQUET}


_MEDIA_TYPES: Mapping[FileFormat, str] = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.JSON: "application/json",
    FileFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}


class Writer(Protocol):
    """Writes one file: its sections in order, each with its rows, then the end."""

    def start_section(self, title: str, columns: Sequence[Column]) -> None:
        """Start a section."""

    def write_rows(self, rows: Sequence[Cells]) -> None:
        """Write rows of the current section."""

    def end_section(self) -> None:
        """End the current section."""

    def close(self) -> None:
        """Write the status of each month, and what else ends the file."""


NewWriter = Callable[[IO[bytes], FileInfo], Writer]


def find_writer(form: FileFormat) -> NewWriter:
    """Return the writer of a format; its library is imported only now.

    Raises:
        InvalidArgument: The format needs an extra that is not installed.
    """
    if form is FileFormat.CSV:
        from app.export.csv_writer import CsvWriter

        return CsvWriter
    if form is FileFormat.JSON:
        from app.export.json_writer import JsonWriter

        return JsonWriter
    if form is FileFormat.XLSX:
        from app.export.xlsx_writer import XlsxWriter

        return XlsxWriter
    from app.export.parquet_writer import ParquetWriter

    return ParquetWriter


def stream_export(
    export: ReportExport, form: FileFormat, count_rows: Callable[[int], None] = lambda _: None
) -> AsyncGenerator[bytes, None]:
    """Return the chunks of a file. Threads write it, so that other requests are not blocked.

    Args:
        export: What to write.
        form: The format.
        count_rows: Called with the number of rows whenever some were written.

    Raises:
        InvalidArgument: A sheet would be too long, or the format needs an extra that is not
            installed. Reading the chunks raises no further errors of the caller's.
    """
    longest = max((table.row_count for table in export.tables), default=0)
    if form is FileFormat.XLSX and longest > MAX_SHEET_ROWS:
        raise InvalidArgument(
            f"format: a sheet has at most {MAX_SHEET_ROWS:,} rows, and this one would have "
            f"{longest:,}; choose csv or parquet, or limit the export to a workspace."
        )
    return _write(export, find_writer(form), count_rows)


async def _write(
    export: ReportExport, new_writer: NewWriter, count_rows: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as file:
        writer = new_writer(file, to_file_info(export))
        for table in export.tables:
            writer.start_section(TITLES[table.section], table.columns)
            async with aclosing(table.chunks) as chunks:
                async for rows in chunks:
                    await asyncio.to_thread(writer.write_rows, table.cells_of(rows))
                    count_rows(len(rows))
                    for part in _drain(file):
                        yield part
            writer.end_section()
        await asyncio.to_thread(writer.close)
        for part in _drain(file):
            yield part


def _drain(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes written so far and empty the file, which never holds more than one chunk."""
    file.seek(0)
    while part := file.read(_CHUNK_BYTES):
        yield part
    file.seek(0)
    file.truncate()
