"""Prices or assignments as a CSV file, in the columns that finance keeps them in."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from app.domain.errors import ChargebackError, InvalidArgument
from app.domain.months import Month
from app.domain.rates import AssignedKind
from app.services.rate_card import AssignmentEntry
from app.services.rate_card_file import PriceEntry, RateCardFile, parse_price, to_cost_centre

PRICE_COLUMNS = ("rate", "from", "amount")
ASSIGNMENT_COLUMNS = ("kind", "name", "cost_centre", "from")


def parse_rate_card_csv(name: str, text: str) -> RateCardFile:
    """Parse a file of prices or of assignments; its columns say which.

    Args:
        name: What messages call the file.
        text: Its text.

    Raises:
        InvalidArgument: A column is missing or unknown, or a row has a bad cell.
    """
    rows = _read_rows(name, text)
    if "rate" in (rows.fieldnames or ()):
        _require_columns(name, rows.fieldnames, PRICE_COLUMNS)
        return RateCardFile(None, [], [], list(_parse_prices(name, rows)), [])
    return RateCardFile(None, [], [], [], parse_assignments_csv(name, text))


def parse_assignments_csv(name: str, text: str) -> list[AssignmentEntry]:
    """Parse a file of assignments.

    Raises:
        InvalidArgument: As for `parse_rate_card_csv`.
    """
    rows = _read_rows(name, text)
    _require_columns(name, rows.fieldnames, ASSIGNMENT_COLUMNS)
    return list(_parse_assignments(name, rows))


def to_assignment(kind: str, name: str, code: str, from_month: str) -> AssignmentEntry:
    """Return an assignment as people write it: `workspace`, `vision`, `4711`, `2026-09`.

    Raises:
        InvalidArgument: The kind is neither `workspace` nor `user`.
        InvalidMonth: The month is not written `YYYY-MM`.
    """
    if kind.upper() not in set(AssignedKind):
        raise InvalidArgument("kind: use workspace or user.")
    month = Month.parse(from_month)
    return AssignmentEntry(AssignedKind(kind.upper()), name, to_cost_centre(code), month)


def _read_rows(name: str, text: str) -> "csv.DictReader[str]":
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        _ = rows.fieldnames
    except csv.Error as error:
        raise InvalidArgument(f"{name}: not CSV: {error}.") from None
    return rows


def _require_columns(name: str, found: Sequence[str] | None, columns: Sequence[str]) -> None:
    given = found or ()
    for column in columns:
        if column not in given:
            raise InvalidArgument(f"{name}: the column {column!r} is missing.")
    for column in given:
        if column not in columns:
            raise InvalidArgument(
                f"{name}: unknown column {column[:40]!r}; allowed are {', '.join(columns)}."
            )
    if len(given) != len(columns):
        raise InvalidArgument(f"{name}: the first line has a column twice.")


def _parse_prices(name: str, rows: "csv.DictReader[str]") -> Iterator[PriceEntry]:
    for line, row in _number_rows(name, rows):
        try:
            amount = parse_price("amount", row["amount"])
            yield PriceEntry(row["rate"], Month.parse(row["from"]), amount)
        except ChargebackError as error:
            raise InvalidArgument(f"{name}, line {line}: {error}") from None


def _parse_assignments(name: str, rows: "csv.DictReader[str]") -> Iterator[AssignmentEntry]:
    for line, row in _number_rows(name, rows):
        try:
            yield to_assignment(row["kind"], row["name"], row["cost_centre"], row["from"])
        except ChargebackError as error:
            raise InvalidArgument(f"{name}, line {line}: {error}") from None


def _number_rows(
    name: str, rows: "csv.DictReader[str]"
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row with its line number.

    Raises:
        InvalidArgument: A row is not CSV, or has more or fewer cells than the header.
    """
    try:
        for row in rows:
            if None in row or None in row.values():
                expected = len(rows.fieldnames or ())
                raise InvalidArgument(f"{name}, line {rows.line_num}: must have {expected} cells.")
            yield rows.line_num, row
    except csv.Error as error:
        # DictReader's own number is that of the last row which it could read.
        line = rows.reader.line_num
        raise InvalidArgument(f"{name}, line {line}: not CSV: {error}.") from None
