"""Exports as XLSX: a sheet Summary, and one for each section."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from app.domain.sections import Section
from app.export.report import Summary
from app.export.rows import TITLES, Cells, Column, Kind, RowType

_FORMATS: Mapping[Kind, str] = {
    Kind.COUNT: "#,##0",
    Kind.MEGABYTES: "#,##0.00",
    Kind.PERCENT: "0.00",
    Kind.AMOUNT: "#,##0.00",
    Kind.INSTANT: "yyyy-mm-dd hh:mm:ss",
}
_WIDTHS: Mapping[Kind, float] = {
    Kind.TEXT: 24,
    Kind.MONTH: 12,
    Kind.COUNT: 14,
    Kind.MEGABYTES: 16,
    Kind.PERCENT: 14,
    Kind.AMOUNT: 16,
    Kind.INSTANT: 19,
    Kind.FLAG: 15,
}


class XlsxWriter:
    """Writes XLSX, row by row. Text stays text: no cell becomes a formula or a link.

    Two exports of a closed month have the same bytes: the file's date is that of the close.
    """

    def __init__(self, file: IO[bytes], summaries: Sequence[Summary]) -> None:
        # Rows go to a temporary file as they come.
        self._book = Workbook(file, {"constant_memory": True})
        self._book.set_properties({"created": _created_at(summaries), "author": ""})
        self._bold = self._book.add_format({"bold": True})
        self._summaries = summaries
        self._sheet: Worksheet | None = None
        self._row = 0
        self._columns: Sequence[Column] = ()
        self._write_cell: list[Callable[[int, int, Any], Any]] = []
        self._write_summaries()

    def start_section(self, section: Section, columns: Sequence[Column]) -> None:
        """Add a sheet with a frozen line of headings."""
        sheet = self._book.add_worksheet(TITLES[section])
        sheet.freeze_panes(1, 0)
        self._sheet, self._columns, self._row = sheet, tuple(columns), 1
        self._write_cell = []
        for position, column in enumerate(columns):
            cell_format = self._format(column.kind)
            sheet.set_column(position, position, _WIDTHS[column.kind], cell_format)
            sheet.write_string(0, position, column.heading, self._bold)
            self._write_cell.append(_cell_writer(sheet, column.kind, cell_format))

    def write_rows(self, rows: Sequence[Cells]) -> None:
        """Write rows."""
        for row in rows:
            for position, value in enumerate(row):
                if value is not None:
                    self._write_cell[position](self._row, position, value)
            self._row += 1

    def end_section(self) -> None:
        """Write the status of each month, and let people filter the columns."""
        assert self._sheet is not None  # noqa: S101  a section was started
        self._sheet.autofilter(0, 0, self._row - 1, len(self._columns) - 1)
        for summary in self._summaries:
            cells = (RowType.STATUS.value, str(summary.month), "", summary.status)
            for position, text in enumerate(cells):
                self._sheet.write_string(self._row, position, text)
            self._row += 1

    def close(self) -> None:
        """Complete the file."""
        self._book.close()

    def _write_summaries(self) -> None:
        sheet = self._book.add_worksheet("Summary")
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, len(self._summaries), 24)
        for row, (heading, values) in enumerate(_summary_lines(self._summaries)):
            sheet.write_string(row, 0, heading, self._bold)
            for column, value in enumerate(values, 1):
                if isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None:
                    kind = Kind.MEGABYTES if isinstance(value, float) else Kind.COUNT
                    sheet.write_number(row, column, value, self._format(kind))

    def _format(self, kind: Kind) -> Format | None:
        return self._book.add_format({"num_format": _FORMATS[kind]}) if kind in _FORMATS else None


def _cell_writer(
    sheet: Worksheet, kind: Kind, cell_format: Format | None
) -> Callable[[int, int, Any], Any]:
    """Return a function that writes cells of one column."""
    if kind in {Kind.COUNT, Kind.MEGABYTES, Kind.PERCENT, Kind.AMOUNT}:
        return lambda row, column, value: sheet.write_number(row, column, value, cell_format)
    if kind is Kind.INSTANT:
        return lambda row, column, value: sheet.write_datetime(
            row, column, value.replace(tzinfo=None, microsecond=0), cell_format
        )
    if kind is Kind.FLAG:
        return lambda row, column, value: sheet.write_boolean(row, column, value, cell_format)
    return lambda row, column, value: sheet.write_string(row, column, str(value), cell_format)


def _created_at(summaries: Sequence[Summary]) -> datetime:
    latest = max(filter(None, (each.closed_at or each.as_of for each in summaries)))
    return latest.replace(tzinfo=None, microsecond=0)


def _summary_lines(
    summaries: Sequence[Summary],
) -> Iterator[tuple[str, Sequence[str | int | float | None]]]:
    yield "Organization", [each.organization for each in summaries]
    yield "Month", [str(each.month) for each in summaries]
    yield "Status", [each.status for each in summaries]
    yield "Imported from", [each.imported_from for each in summaries]
    yield "Workspaces", [each.number_of_workspaces for each in summaries]
    yield "Licensed users", [each.number_of_users for each in summaries]
    yield "Experiments", [each.experiments for each in summaries]
    yield "Experiments of unknown size", [each.unmeasured for each in summaries]
    yield "Experiments created", [each.experiments_created for each in summaries]
    yield "Size in bytes", [each.size_bytes for each in summaries]
    yield "Size in MB", [each.size_in_mb for each in summaries]
    yield "Average in MB", [each.average_size_in_mb for each in summaries]
