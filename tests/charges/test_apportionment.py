"""Apportionment: the parts add up, stay within one unit of exact, and whole values do not move."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.apportionment import apportion
from app.domain.money import Currency

EUR = Currency("EUR", 2)

values = st.fractions(min_value=-1000, max_value=1000, max_denominator=97)
trees = st.lists(st.lists(st.lists(values, max_size=3), max_size=3), max_size=4)


def total_of(tree: object) -> Fraction:
    if isinstance(tree, Fraction):
        return tree
    assert isinstance(tree, list)
    return sum((total_of(branch) for branch in tree), Fraction())


@given(trees)
def test_parts_of_a_tree_add_up_and_stay_within_one_unit(
    tree: list[list[list[Fraction]]],
) -> None:
    total = EUR.round(total_of(tree) / 100)
    level: list[tuple[int, list[object]]] = [(total, list(tree))]
    for _ in range(3):
        below: list[tuple[int, list[object]]] = []
        for amount, branches in level:
            exact = [total_of(branch) for branch in branches]
            parts = apportion(amount, exact)

            if branches:
                assert sum(parts) == amount
            for part, value in zip(parts, exact, strict=True):
                assert abs(part - value) < 1
                if value.denominator == 1:
                    assert part == value
            below += [
                (part, branch)
                for part, branch in zip(parts, branches, strict=True)
                if isinstance(branch, list)
            ]
        level = below


@given(st.lists(values, min_size=1))
def test_a_reversal_has_the_same_parts_with_the_opposite_sign(exact: list[Fraction]) -> None:
    total = EUR.round(sum(exact, Fraction()) / 100)

    forth, back = apportion(total, exact), apportion(-total, [-value for value in exact])

    if sum(exact) != 0:
        assert back == [-part for part in forth]
    assert sum(forth) + sum(back) == 0


@pytest.mark.parametrize(
    ("total", "exact", "parts"),
    [
        # A fee of 1,000.00 by equal weights: the odd cent goes to the first.
        (100_000, [Fraction(100_000, 3)] * 3, [33_334, 33_333, 33_333]),
        # By weights 10, 20 and 40: 142.857, 285.714 and 571.428 have remainders .71, .43 and .86.
        (
            100_000,
            [Fraction(100_000 * weight, 70) for weight in (10, 20, 40)],
            [14_286, 28_571, 57_143],
        ),
        # 24.99 in halves.
        (2_499, [Fraction(2_499, 2)] * 2, [1_250, 1_249]),
        (-2_499, [Fraction(-2_499, 2)] * 2, [-1_250, -1_249]),
        (0, [], []),
    ],
)
def test_largest_remainders_get_the_units_that_are_left(
    total: int, exact: list[Fraction], parts: list[int]
) -> None:
    assert apportion(total, exact) == parts
