"""Read the rows of a Parquet file as Python values."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile


def open_parquet(name: str) -> ParquetFile:
    """Open a file. Times of the old kind INT96 are read in microseconds, so none is out of range.

    Raises:
        ArrowException: It is not a Parquet file.
    """
    return ParquetFile(name, coerce_int96_timestamp_unit="us")


def iter_parquet_rows(file: ParquetFile, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file with these columns.

    Times and durations are cut to microseconds, as in events. A value that Python cannot hold,
    such as a time in the year 60000, becomes text, which no column for times or numbers accepts.
    """
    for batch in file.iter_batches(columns=columns):
        values = {name: _to_python(batch.column(name)) for name in columns}
        for index in range(batch.num_rows):
            yield {name: column[index] for name, column in values.items()}


def _to_python(column: pa.Array) -> list[Any]:
    column = _cut_to_microseconds(column)
    try:
        found: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return [_to_value_or_text(value) for value in column]
    return found


def _cut_to_microseconds(column: pa.Array) -> pa.Array:
    type_ = column.type
    if pa.types.is_timestamp(type_):
        # The time zone is only for display, and may be unknown here.
        column = column.cast(pa.timestamp(type_.unit, "UTC" if type_.tz else None))
        if type_.unit == "ns":
            floored = pc.floor_temporal(column, unit="microsecond")
            return floored.cast(pa.timestamp("us", column.type.tz), safe=False)
        return column
    if pa.types.is_duration(type_) and type_.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    if pa.types.is_time(type_) and type_.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    return column


def _to_value_or_text(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return f"a value of the type {value.type} that is out of range"
