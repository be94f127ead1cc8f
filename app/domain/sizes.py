"""Bytes as megabytes: rounded once, from exact bytes, when a report is written."""

MEGABYTE = 1_048_576
"""Bytes in 1 MB, as reports count."""


def to_megabytes(size_bytes: int) -> float:
    """Return megabytes with two decimals, rounded half up.

    >>> to_megabytes(5_242), to_megabytes(5_243)
    (0.0, 0.01)
    """
    return (200 * size_bytes + MEGABYTE) // (2 * MEGABYTE) / 100
