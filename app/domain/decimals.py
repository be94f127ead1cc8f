"""The one grammar of decimal numbers in arguments and files."""

import re
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?")


def parse_decimal(text: str) -> Decimal | None:
    """Return the number that a text contains; None if it contains anything else.

    Exponents are allowed: JSON and spreadsheets write 0.00001 as 1e-05. What `Decimal` also
    accepts is not: underscores, digits of other scripts, blanks and NaN.

    >>> parse_decimal("1e-05")
    Decimal('0.00001')
    >>> parse_decimal("1_000") is None
    True
    """
    return Decimal(text) if _NUMBER.fullmatch(text) else None
