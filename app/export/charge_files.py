"""Write the charges of a month as CSV, JSON, XLSX or Parquet.

Every format has the same columns. Two files of a closed month have the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal

import orjson

from app.domain.errors import InvalidArgument
from app.export.charges import ChargeRow, to_charge_rows
from app.export.file_info import FileInfo
from app.export.rows import Cells, Column, Kind, RowType
from app.export.writers import MAX_SHEET_ROWS, FileFormat, find_writer
from resolvers.statements import Statement

_COLUMNS: Mapping[str, Column] = {
    "type": Column("type", "Type", Kind.TEXT),
    "month": Column("month", "Month", Kind.MONTH),
    "origin_month": Column("originMonth", "Origin month", Kind.MONTH),
    "cost_centre": Column("costCentre", "Cost centre", Kind.TEXT),
    "cost_centre_name": Column("costCentreName", "Cost centre name", Kind.TEXT),
    "rate": Column("rate", "Rate", Kind.TEXT),
    "rate_name": Column("rateName", "Rate name", Kind.TEXT),
    "measure": Column("measure", "Measure", Kind.TEXT),
    "workspace": Column("workspace", "Workspace", Kind.TEXT),
    "username": Column("userName", "User", Kind.TEXT),
    "quantity": Column("quantity", "Quantity", Kind.FRACTION),
    "unit": Column("unit", "Unit", Kind.TEXT),
    "price": Column("price", "Price", Kind.PRICE),
    "exact_amount": Column("exactAmount", "Exact amount", Kind.FRACTION),
    "amount": Column("amount", "Amount", Kind.AMOUNT),
    "currency": Column("currency", "Currency", Kind.TEXT),
    "id": Column("id", "Id", Kind.TEXT),
}
_FIELDS = tuple(_COLUMNS[name] for name in ChargeRow._fields)


def write_csv(statement: Statement) -> bytes:
    """Return CSV in UTF-8: headings, a row per line, the total, the status."""
    return _write(statement, FileFormat.CSV, [*to_charge_rows(statement), _total(statement)])


def write_xlsx(statement: Statement) -> bytes:
    """Return a workbook with one sheet.

    Raises:
        InvalidArgument: A sheet cannot hold so many rows.
    """
    if len(statement.lines) > MAX_SHEET_ROWS:
        raise InvalidArgument(
            f"format: a sheet has at most {MAX_SHEET_ROWS:,} rows: choose csv or parquet, or "
            "one cost centre."
        )
    return _write(statement, FileFormat.XLSX, [*to_charge_rows(statement), _total(statement)])


def write_parquet(statement: Statement) -> bytes:
    """Return Parquet with exact decimals; total and status are in the file's metadata.

    Raises:
        InvalidArgument: The extra `parquet` is not installed.
    """
    return _write(statement, FileFormat.PARQUET, to_charge_rows(statement))


def _write(statement: Statement, form: FileFormat, rows: Sequence[Cells]) -> bytes:
    file = io.BytesIO()
    info = FileInfo(
        {statement.month: statement.status},
        statement.closed_at or statement.as_of,
        statement.currency.exponent,
        metadata={"total": str(statement.total)},
    )
    writer = find_writer(form)(file, info)
    writer.start_section("Charges", _FIELDS)
    if rows:
        writer.write_rows(rows)
    writer.end_section()
    writer.close()
    return file.getvalue()


def _total(statement: Statement) -> Cells:
    cells: dict[str, object] = {
        "type": RowType.TOTAL.value,
        "month": statement.month,
        "amount": statement.total,
        "currency": statement.currency.code,
    }
    return [cells.get(name) for name in ChargeRow._fields]


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
                column.name: None if value is None else _to_text(value)
                for column, value in zip(_FIELDS, row, strict=True)
            }
            for row in to_charge_rows(statement)
        ],
    }
    return orjson.dumps(document) + b"\n"


def _to_text(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
