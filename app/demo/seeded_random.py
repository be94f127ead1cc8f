"""Chance that comes out the same everywhere: a seed's random bits and whole-number arithmetic.

Only `getrandbits` is used. What `random` builds on it (`choice`, `shuffle`, `sample`) may change
between Python versions, and did.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

_BITS = 64


class SeededRandom:
    """A stream of rng that follows from a seed."""

    __slots__ = ("bits",)

    def __init__(self, seed: int) -> None:
        self.bits = Random(seed).getrandbits  # noqa: S311  a demo needs repetition, not secrecy

    def below(self, count: int) -> int:
        """One of `0 … count - 1`."""
        return self.bits(_BITS) * count >> _BITS

    def between(self, least: int, most: int) -> int:
        """One of `least … most`."""
        return least + self.below(most - least + 1)

    def percent(self, percentage: int) -> bool:
        """True in so many cases of a hundred."""
        return self.below(100) < percentage

    def hundredth(self, total: int) -> int:
        """`total / 100`, rounded up as often as makes the average exact."""
        whole, rest = divmod(total, 100)
        return whole + (rest > 0 and self.below(100) < rest)

    def pick(self, options: Sequence[T]) -> T:
        """One of them, each as likely."""
        return options[self.below(len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The same items in another order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed


def apportion(total: int, weights: Sequence[int], *, least: int, most: int) -> list[int]:
    """Share `total` out by weight, exactly, so that each gets `least` to `most`.

    Needs `least * len(weights) <= total <= most * len(weights)`.
    """
    rest, whole = total - least * len(weights), sum(weights)
    shares, passed, given = [], 0, 0
    for weight in weights:
        passed += weight
        upto = rest * passed // whole
        shares.append(least + upto - given)
        given = upto
    return _capped(shares, most)


def _capped(shares: list[int], most: int) -> list[int]:
    """What is above `most` goes to the first that have room."""
    excess = sum(max(0, share - most) for share in shares)
    capped = [min(share, most) for share in shares]
    for index, share in enumerate(capped):
        taken = min(excess, most - share)
        capped[index] += taken
        excess -= taken
    return capped
