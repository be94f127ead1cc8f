"""How figures are written: the one conversion of each, at the edge."""


def from_hundredths(value: int) -> float:
    """Hundredths, exact, as a number with two decimals."""
    return value / 100
