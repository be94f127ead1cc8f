"""Apportionment by largest remainder: split a whole number so that the parts add up to it."""

from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Split `total` into whole parts, each less than 1 away from its exact value.

    Every part is rounded towards zero; the units that are left go to the parts with the largest
    remainders, and among equal remainders to the earlier part. A part whose exact value is whole
    keeps it. The parts of `-total` are those of `total` with the opposite sign.

    Args:
        total: The sum that the parts must have; less than 1 away from the sum of `exact`.
        exact: The exact values, in the order in which ties are broken.

    Returns:
        The parts, in the order of `exact`; empty when there are none.

    >>> apportion(100000, [Fraction(100000, 3)] * 3)
    [33334, 33333, 33333]
    """
    if sum(exact) < 0:
        return [-part for part in apportion(-total, [-value for value in exact])]
    parts = [value.numerator // value.denominator for value in exact]
    remainders = [value - part for value, part in zip(exact, parts, strict=True)]
    left = total - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda index: -remainders[index])
    for index in by_remainder[:left]:
        parts[index] += 1
    return parts
