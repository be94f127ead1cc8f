"""Exports as XLSX: a sheet Summary, and one for each section."""

from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from app.export.file_info import FileInfo, SummaryLine
from app.export.rows import Cells, Column, Kind, RowType

_FORMATS: Mapping[Kind, str] = {
    Kind.COUNT: "#,##0",
    Kind.MEGABYTES: "#,##0.00",
    Kind.PERCENT: "0.00",
    Kind.PRICE: "#,##0.00########",
    Kind.FRACTION: "#,##0.############",
    Kind.INSTANT: "yyyy-mm-dd hh:mm:ss",
}
_NUMBERS = frozenset(_FORMATS) - {Kind.INSTANT} | {Kind.AMOUNT}
_WIDTHS: Mapping[Kind, float] = {
    Kind.TEXT: 24,
    Kind.MONTH: 12,
    Kind.COUNT: 14,
    Kind.MEGABYTES: 16,
    Kind.PERCENT: 14,
    Kind.AMOUNT: 16,
    Kind.PRICE: 14,
    Kind.FRACTION: 20,
    Kind.INSTANT: 19,
    Kind.FLAG: 15,
}


class XlsxWriter:
    """Writes XLSX, row by row. Text stays text: no cell becomes a formula or a link.

    Two exports of a closed month have the same bytes: the file's date is that of the close.
    """

    def __init__(self, file: IO[bytes], info: FileInfo) -> None:
        # Rows go to a temporary file as they come.
        self._book = Workbook(file, {"constant_memory": True})
        self._book.set_properties({"created": info.created_at, "author": ""})
        self._bold = self._book.add_format({"bold": True})
        self._statuses = info.statuses
        decimals = "." + "0" * info.decimals if info.decimals else ""
        self._formats = {**_FORMATS, Kind.AMOUNT: f"#,##0{decimals}"}
        self._sheet: Worksheet | None = None
        self._row = 0
        self._columns: Sequence[Column] = ()
        self._write_cell: list[Callable[[int, int, Any], Any]] = []
        if info.summary:
            self._write_summary(info.summary)

    def start_section(self, title: str, columns: Sequence[Column]) -> None:
        """Add a sheet with a frozen line of headings."""
        sheet = self._book.add_worksheet(title)
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
        for month, status in self._statuses.items():
            cells = (RowType.STATUS.value, str(month), "", status)
            for position, text in enumerate(cells):
                self._sheet.write_string(self._row, position, text)
            self._row += 1

    def close(self) -> None:
        """Complete the file."""
        self._book.close()

    def _write_summary(self, lines: Sequence[SummaryLine]) -> None:
        sheet = self._book.add_worksheet("Summary")
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, len(lines[0].values), 24)
        for row, (heading, values) in enumerate(lines):
            sheet.write_string(row, 0, heading, self._bold)
            for column, value in enumerate(values, 1):
                if isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None:
                    kind = Kind.MEGABYTES if isinstance(value, float) else Kind.COUNT
                    sheet.write_number(row, column, value, self._format(kind))

    def _format(self, kind: Kind) -> Format | None:
        number_format = self._formats.get(kind)
        return number_format and self._book.add_format({"num_format": number_format})


def _cell_writer(
    sheet: Worksheet, kind: Kind, cell_format: Format | None
) -> Callable[[int, int, Any], Any]:
    """Return a function that writes cells of one column."""
    if kind in _NUMBERS:
        return lambda row, column, value: sheet.write_number(row, column, value, cell_format)
    if kind is Kind.INSTANT:
        return lambda row, column, value: sheet.write_datetime(
            row, column, value.replace(tzinfo=None, microsecond=0), cell_format
        )
    if kind is Kind.FLAG:
        return lambda row, column, value: sheet.write_boolean(row, column, value, cell_format)
    return lambda row, column, value: sheet.write_string(row, column, str(value), cell_format)
