"""Apportionment by largest remainder: split a whole number so that the parts add up to it."""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm


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
    unit = lcm(*(value.denominator for value in exact))
    return apportion_units(
        total, [value.numerator * (unit // value.denominator) for value in exact], unit
    )


def apportion_units(total: int, exact: Sequence[int], unit: int) -> list[int]:
    """Split `total` like `apportion`; the exact values are whole numbers of 1 / `unit`.

    >>> apportion_units(100000, [100000] * 3, 3)
    [33334, 33333, 33333]
    """
    if sum(exact) < 0:
        return [-part for part in apportion_units(-total, [-value for value in exact], unit)]
    parts = [value // unit for value in exact]
    left = total - sum(parts)
    if left:
        by_remainder = sorted(range(len(parts)), key=lambda index: -(exact[index] % unit))
        for index in by_remainder[:left]:
            parts[index] += 1
    return parts
