"""Changes in percent."""

from decimal import Decimal


def to_percent(change: Decimal | int, before: Decimal | int) -> float | None:
    """Return a change in percent of what was before, rounded half away from zero to two decimals.

    Return None if there was nothing before. It computes in integers, which takes a tenth of the
    time of fractions: a report has ten thousands of changes.

    >>> to_percent(-30, 49), to_percent(Decimal("0.005"), Decimal(-100)), to_percent(1, 0)
    (-61.22, 0.01, None)
    """
    if not before:
        return None
    change_numerator, change_denominator = change.as_integer_ratio()
    before_numerator, before_denominator = before.as_integer_ratio()
    numerator = 10_000 * abs(change_numerator) * before_denominator
    denominator = change_denominator * abs(before_numerator)
    hundredths = (2 * numerator + denominator) // (2 * denominator)
    return (hundredths if change >= 0 else -hundredths) / 100
