"""Changes in percent."""

from decimal import Decimal
from fractions import Fraction

from app.domain.sizes import to_hundredths


def to_percent(change: Decimal | int, before: Decimal | int) -> float | None:
    """Return a change in percent of what was before, rounded half up to two decimals.

    Return None if there was nothing before.

    >>> to_percent(-30, 49)
    -61.22
    """
    if not before:
        return None
    return to_hundredths(100 * Fraction(change) / abs(Fraction(before))) / 100
