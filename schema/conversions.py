"""Conversions of column values for the response."""


def from_hundredths(value: int) -> float:
    """Convert exact hundredths to a number with two decimals."""
    return value / 100
