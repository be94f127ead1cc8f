"""Reproducible random numbers: the same on every machine and Python version.

Only `Random.getrandbits` and integer arithmetic are used. The results of `choice`, `shuffle` and
`sample` have changed between Python versions.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

_BITS = 64


class SeededRandom:
    """A random number generator with a seed."""

    __slots__ = ("getrandbits",)

    def __init__(self, seed: int) -> None:
        self.getrandbits = Random(seed).getrandbits  # noqa: S311  a demo needs repetition, not secrecy

    def randbelow(self, count: int) -> int:
        """Return a number from 0 to `count - 1`."""
        return self.getrandbits(_BITS) * count >> _BITS

    def randint(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`."""
        return least + self.randbelow(most - least + 1)

    def is_chance(self, percentage: int) -> bool:
        """Return True with this probability, in percent."""
        return self.randbelow(100) < percentage

    def divide_by_100(self, total: int) -> int:
        """Return `total / 100`, randomly rounded up so that the average is exact."""
        whole, rest = divmod(total, 100)
        return whole + (rest > 0 and self.randbelow(100) < rest)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options, each equally likely."""
        return options[self.randbelow(len(options))]

    def shuffle(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.randbelow(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed


def apportion(total: int, weights: Sequence[int], *, least: int, most: int) -> list[int]:
    """Split `total` by weight into shares from `least` to `most` that add up exactly.

    Requires `least * len(weights) <= total <= most * len(weights)`.
    """
    rest, whole = total - least * len(weights), sum(weights)
    shares, passed, given = [], 0, 0
    for weight in weights:
        passed += weight
        upto = rest * passed // whole
        shares.append(least + upto - given)
        given = upto
    return _cap_shares(shares, most)


def _cap_shares(shares: list[int], most: int) -> list[int]:
    """Cap shares at `most`; the excess goes to the first shares with room."""
    excess = sum(max(0, share - most) for share in shares)
    capped = [min(share, most) for share in shares]
    for index, share in enumerate(capped):
        taken = min(excess, most - share)
        capped[index] += taken
        excess -= taken
    return capped
