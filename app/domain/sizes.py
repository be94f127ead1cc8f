"""Bytes as megabytes: rounded once, from exact bytes, when a report is written."""

from fractions import Fraction

MEGABYTE = 1_048_576
"""Bytes in 1 MB, as reports count."""


def to_megabytes(size_bytes: int) -> float:
    """Return megabytes with two decimals, rounded half up.

    >>> to_megabytes(5_242), to_megabytes(5_243)
    (0.0, 0.01)
    """
    return (200 * size_bytes + MEGABYTE) // (2 * MEGABYTE) / 100


def to_hundredths(megabytes: Fraction) -> int:
    """Return hundredths, rounded half away from zero.

    >>> to_hundredths(Fraction(5, 1000)), to_hundredths(Fraction(-5, 1000))
    (1, -1)
    """
    scaled = int(abs(megabytes) * 100 + Fraction(1, 2))
    return scaled if megabytes >= 0 else -scaled
