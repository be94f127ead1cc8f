"""The figures of month rows, as a report shows them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Numeric,
    SQLColumnExpression,
    case,
    cast,
    false,
    func,
    literal_column,
)

from app.db.report_windows import Report
from app.domain.sizes import MEGABYTE


def storage_columns(table: Any, report: Report) -> dict[str, SQLColumnExpression[Any]]:
    """Return the experiment figures of a month row, as its report shows them, by column name.

    `size_in_mb` is rounded half up to two decimals, as `app.domain.sizes.to_megabytes` does.
    `byte_microseconds` is exact. `average_hundredths` is the average over the month so far, in
    hundredths of a MB, rounded half up. Both and `experiments_created` are null if the month's
    flows are unknown.
    """
    held = compute_byte_microseconds(table, report)
    size_bytes = to_bigint(table.size_bytes)
    return {
        "experiments": table.experiments,
        "unmeasured": table.unmeasured,
        "experiments_created": flow_if_measured(
            table.experiments_created, report.c.flows_known, report
        ),
        "size_bytes": size_bytes,
        "size_in_mb": megabytes(size_bytes),
        "byte_microseconds": case((report.c.flows_known, held)),
        "average_hundredths": case((report.c.flows_known, average_hundredths(held, report))),
        "last_activity_at": table.last_experiment_at,
    }


def gone_columns(report: Report) -> dict[str, SQLColumnExpression[Any]]:
    """Return the experiment figures of an entity without a row in the report: all are 0."""
    zero = number(0)
    flow = case((report.c.flows_known, zero))
    return {
        "present": false(),
        "experiments": zero,
        "unmeasured": zero,
        "experiments_created": flow,
        "size_bytes": zero,
        "size_in_mb": cast(zero, Double),
        "byte_microseconds": flow,
        "average_hundredths": flow,
    }


def compute_byte_microseconds(table: Any, report: Report) -> ColumnElement[Any]:
    """Return the byte-microseconds held until the report's end."""
    return case(
        (report.c.carried, table.size_bytes * report.c.elapsed_microseconds),
        else_=table.byte_microseconds - table.size_bytes * report.c.remaining_microseconds,
    )


def to_bigint(sum_: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a sum as the 64-bit number that JSON and files hold, at most the largest one."""
    largest = literal_column(str(_MAX_BIGINT), Numeric)
    return cast(func.greatest(func.least(sum_, largest), -largest), BigInteger)


_MAX_BIGINT = 2**63 - 1


def average_hundredths(byte_microseconds: Any, report: Report) -> ColumnElement[int]:
    """Return the average over the month so far, in hundredths of a MB, rounded half up."""
    unit = func.greatest(report.c.elapsed_microseconds, 1) * cast(
        literal_column(str(MEGABYTE)), Numeric
    )
    return cast(func.div(200 * byte_microseconds + unit, 2 * unit), BigInteger)


def megabytes(size_bytes: Any) -> ColumnElement[float]:
    """Convert bytes to megabytes; whole megabytes are split off so that nothing overflows."""
    whole = size_bytes.bitwise_rshift(number(20))
    rest = size_bytes.bitwise_and(number(MEGABYTE - 1))
    rounded = (number(200) * rest + number(MEGABYTE)).bitwise_rshift(number(21))
    hundredths = cast(number(100) * whole + rounded, Double)
    return hundredths.op("/", return_type=Double())(number(100))


def number(constant: int) -> ColumnElement[int]:
    """Return a constant that becomes part of the SQL text."""
    return literal_column(str(constant), BigInteger)


def _flow(value: Any, report: Report) -> ColumnElement[Any]:
    """Return a flow of the report month; 0 if its rows belong to an earlier month."""
    return case((report.c.carried, 0), else_=value)


def flow_if_measured(value: Any, is_measured: Any, report: Report) -> ColumnElement[Any]:
    """Return a flow of the report month, or null if no source measures it."""
    return case((is_measured, _flow(value, report)))


def flow_instant(value: Any, report: Report) -> ColumnElement[Any]:
    """Return when something last happened in the report month; null if it did not happen."""
    return case((report.c.carried, None), else_=value)
