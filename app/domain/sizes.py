"""Bytes as megabytes: computed from exact bytes once, at the edge."""

MEGABYTE = 1_048_576
"""Bytes in 1 MB, as the report counts."""


def to_megabytes(size_bytes: int) -> float:
    """Two decimals, half up."""
    return (200 * size_bytes + MEGABYTE) // (2 * MEGABYTE) / 100
