"""Write the charges of a month as CSV, JSON, XLSX or Parquet.

Every format has the same columns. Two files of a closed month have the same bytes.
"""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, NamedTuple

import orjson

from app.domain.errors import InvalidArgument
from app.domain.safe_text import escape_for_spreadsheet
from app.export.charges import ChargeRow, to_charge_rows
from app.export.extras import import_pyarrow
from resolvers.statements import Statement

_MAX_SHEET_ROWS = 1_048_576


class _Kind(Enum):
    """What the cells of a column hold."""

    TEXT = auto()
    FRACTION = auto()
    PRICE = auto()
    AMOUNT = auto()


class _Column(NamedTuple):
    """A column: its name as GraphQL spells it, its heading for people, and what it holds."""

    name: str
    heading: str
    kind: _Kind = _Kind.TEXT


_COLUMNS: Mapping[str, _Column] = {
    "type": _Column("type", "Type"),
    "month": _Column("month", "Month"),
    "origin_month": _Column("originMonth", "Origin month"),
    "cost_centre": _Column("costCentre", "Cost centre"),
    "cost_centre_name": _Column("costCentreName", "Cost centre name"),
    "rate": _Column("rate", "Rate"),
    "rate_name": _Column("rateName", "Rate name"),
    "measure": _Column("measure", "Measure"),
    "workspace": _Column("workspace", "Workspace"),
    "username": _Column("userName", "User"),
    "quantity": _Column("quantity", "Quantity", _Kind.FRACTION),
    "unit": _Column("unit", "Unit"),
    "price": _Column("price", "Price", _Kind.PRICE),
    "exact_amount": _Column("exactAmount", "Exact amount", _Kind.FRACTION),
    "amount": _Column("amount", "Amount", _Kind.AMOUNT),
    "currency": _Column("currency", "Currency"),
    "id": _Column("id", "Id"),
}
_FIELDS = tuple(_COLUMNS[name] for name in ChargeRow._fields)
_MONTH, _AMOUNT, _CURRENCY = (ChargeRow._fields.index(n) for n in ("month", "amount", "currency"))
_STATUS = ChargeRow._fields.index("cost_centre_name")


def write_csv(statement: Statement) -> bytes:
    """Return CSV in UTF-8: headings, a row per line, the total, the status.

    Cells that a spreadsheet could run as formulas are quoted.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.heading for column in _FIELDS)
    for row in to_charge_rows(statement):
        writer.writerow(map(_to_text, row))
    for cells in (_total_cells(statement), _status_cells(statement)):
        writer.writerow(_to_text(cells.get(index)) for index in range(len(_FIELDS)))
    return text.getvalue().encode()


def write_json(statement: Statement) -> bytes:
    """Return one JSON object; numbers are strings with all their decimals, as in GraphQL."""
    document = {
        "organization": statement.organization,
        "month": str(statement.month),
        "status": statement.status,
        "currency": statement.currency.code,
        "total": str(statement.total),
        "corrections": str(statement.corrections),
        "lines": [
            {
                column.name: None if value is None else _to_plain_text(value)
                for column, value in zip(_FIELDS, row, strict=True)
            }
            for row in to_charge_rows(statement)
        ],
    }
    return orjson.dumps(document) + b"\n"


def write_xlsx(statement: Statement) -> bytes:
    """Return a workbook with one sheet. Text stays text: no cell becomes a formula.

    Raises:
        InvalidArgument: A sheet cannot hold so many rows.
    """
    from xlsxwriter import Workbook

    if len(statement.lines) + 3 > _MAX_SHEET_ROWS:
        raise InvalidArgument(
            f"format: a sheet has at most {_MAX_SHEET_ROWS:,} rows: choose csv or parquet, or "
            "one cost centre."
        )
    file = io.BytesIO()
    with Workbook(file, {"constant_memory": True}) as book:
        book.set_properties({"created": _created_at(statement), "author": ""})
        sheet = book.add_worksheet("Charges")
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        formats = [book.add_format(_number_format(statement, column.kind)) for column in _FIELDS]
        for index, column in enumerate(_FIELDS):
            sheet.set_column(index, index, max(14, len(column.heading) + 2), formats[index])
            sheet.write_string(0, index, column.heading, bold)
        number = 1
        for number, row in enumerate(to_charge_rows(statement), 2):
            _write_cells(sheet, number - 1, dict(enumerate(row)), formats)
        sheet.autofilter(0, 0, max(number - 1, 1), len(_FIELDS) - 1)
        _write_cells(sheet, number, _total_cells(statement), formats)
        _write_cells(sheet, number + 1, _status_cells(statement), formats)
    return file.getvalue()


def _write_cells(sheet: Any, number: int, cells: Mapping[int, Any], formats: list[Any]) -> None:
    for index, value in cells.items():
        if isinstance(value, Decimal):
            sheet.write_number(number, index, value, formats[index])
        elif value is not None:
            sheet.write_string(number, index, str(value))


def _number_format(statement: Statement, kind: _Kind) -> dict[str, str]:
    decimals = "." + "0" * statement.currency.exponent if statement.currency.exponent else ""
    formats = {
        _Kind.FRACTION: "#,##0.############",
        _Kind.PRICE: "#,##0.00########",
        _Kind.AMOUNT: f"#,##0{decimals}",
    }
    return {"num_format": formats[kind]} if kind in formats else {}


def _created_at(statement: Statement) -> datetime:
    instant = (statement.closed_at or statement.as_of).astimezone(UTC)
    return instant.replace(tzinfo=None, microsecond=0)


def write_parquet(statement: Statement) -> bytes:
    """Return Parquet with exact decimals; total and status are in the file's metadata.

    Raises:
        InvalidArgument: The extra `parquet` is not installed.
    """
    pyarrow, parquet = import_pyarrow()
    types = {
        _Kind.TEXT: pyarrow.string(),
        _Kind.FRACTION: pyarrow.decimal128(38, 12),
        _Kind.PRICE: pyarrow.decimal128(20, 10),
        _Kind.AMOUNT: pyarrow.decimal128(38, statement.currency.exponent),
    }
    schema = pyarrow.schema(
        [pyarrow.field(column.name, types[column.kind]) for column in _FIELDS],
        {"status": statement.status, "total": str(statement.total)},
    )
    rows = [
        {column.name: _to_parquet(value) for column, value in zip(_FIELDS, row, strict=True)}
        for row in to_charge_rows(statement)
    ]
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def _total_cells(statement: Statement) -> dict[int, Any]:
    total, currency = statement.total, statement.currency.code
    return {0: "total", _MONTH: statement.month, _AMOUNT: total, _CURRENCY: currency}


def _status_cells(statement: Statement) -> dict[int, Any]:
    return {0: "status", _MONTH: statement.month, _STATUS: statement.status}


def _to_text(value: object) -> str:
    if value is None:
        return ""
    text = _to_plain_text(value)
    return escape_for_spreadsheet(text) if isinstance(value, str) else text


def _to_plain_text(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _to_parquet(value: object) -> Any:
    return value if value is None or isinstance(value, Decimal) else str(value)
