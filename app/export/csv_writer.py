"""Exports as CSV: one section, a heading line, and a last line with the status."""

import csv
import io
from collections.abc import Sequence
from typing import IO, Any

from app.domain.safe_text import escape_for_spreadsheet
from app.export.file_info import FileInfo
from app.export.rows import Cells, Column, Kind, RowType, format_instant


class CsvWriter:
    """Writes CSV in UTF-8. Cells that a spreadsheet could run as formulas are quoted."""

    def __init__(self, file: IO[bytes], info: FileInfo) -> None:
        self._file, self._statuses = file, info.statuses
        self._columns: Sequence[Column] = ()

    def start_section(self, _: str, columns: Sequence[Column]) -> None:
        """Write the headings."""
        self._columns = columns
        self._write([[column.heading for column in columns]])

    def write_rows(self, rows: Sequence[Cells]) -> None:
        """Write rows."""
        kinds = [column.kind for column in self._columns]
        self._write(list(map(format_cell, row, kinds)) for row in rows)

    def end_section(self) -> None:
        """Write nothing: the status lines end the file."""

    def close(self) -> None:
        """Write the status of each month, in the first column of names."""
        self._write(
            [RowType.STATUS.value, str(month), "", status] + [""] * (len(self._columns) - 4)
            for month, status in self._statuses.items()
        )

    def _write(self, lines: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._file.write(text.getvalue().encode())


def format_cell(value: Any, kind: Kind) -> str:
    """Return a cell of a CSV file; nothing that is stored can become a formula."""
    if value is None:
        return ""
    if kind in {Kind.MEGABYTES, Kind.PERCENT}:
        return f"{value:.2f}"
    if kind in {Kind.AMOUNT, Kind.PRICE, Kind.FRACTION}:
        return f"{value:f}"
    if kind is Kind.INSTANT:
        return format_instant(value)
    if kind is Kind.FLAG:
        return "true" if value else "false"
    return escape_for_spreadsheet(str(value)) if kind is Kind.TEXT else str(value)
