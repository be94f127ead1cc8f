"""Exports as one JSON object: the months, a list for each section, and the status."""

from collections.abc import Sequence
from decimal import Decimal
from typing import IO

import orjson

from app.export.file_info import FileInfo
from app.export.rows import Cells, Column, Fields

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


class JsonWriter:
    """Writes JSON; keys are spelled as in GraphQL."""

    def __init__(self, file: IO[bytes], info: FileInfo) -> None:
        self._file, self._statuses = file, info.statuses
        self._names: Sequence[str] = ()
        self._separator = b""
        file.write(b'{"months":' + _dump(list(info.months)))

    def start_section(self, title: str, columns: Sequence[Column]) -> None:
        """Open the section's list."""
        self._names, self._separator = [column.name for column in columns], b"\n"
        self._file.write(b',\n"%b":[' % _to_key(title))

    def write_rows(self, rows: Sequence[Cells]) -> None:
        """Write rows, one per line."""
        for row in rows:
            self._file.write(self._separator + _dump(self._to_object(row)))
            self._separator = b",\n"

    def end_section(self) -> None:
        """Close the section's list."""
        self._file.write(b"]")

    def close(self) -> None:
        """Write the status of each month, by month."""
        status = {str(month): each for month, each in self._statuses.items()}
        self._file.write(b',\n"status":' + _dump(status) + b"}\n")

    def _to_object(self, row: Cells) -> Fields:
        # A month is a named tuple, which JSON has no text for.
        first, month, origin, *others = row
        values = (first, str(month), None if origin is None else str(origin), *others)
        return dict(zip(self._names, values, strict=True))


def _to_key(title: str) -> bytes:
    first, *others = title.split()
    return (first.lower() + "".join(map(str.capitalize, others))).encode()


def _dump(value: object) -> bytes:
    return orjson.dumps(value, option=_OPTIONS, default=_write_amount)


def _write_amount(value: object) -> str:
    """Write an amount as GraphQL does: JSON numbers are inexact."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} has no JSON form")
