"""Currencies and amounts: exact fractions until an amount is booked, whole minor units after."""

from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from app.domain.errors import InvalidArgument


class Currency(NamedTuple):
    """A national currency of ISO 4217.

    Attributes:
        code: Its three letters, such as `EUR`.
        exponent: The number of decimals of its minor unit: 2 for EUR, 0 for JPY.
    """

    code: str
    exponent: int

    @classmethod
    def parse(cls, code: str) -> "Currency":
        """Return the currency with this code.

        Raises:
            InvalidArgument: No country uses a currency of that code today.
        """
        return _parse_currency(code)

    def round(self, amount: Fraction) -> int:
        """Return the amount in minor units, half away from zero.

        >>> Currency("EUR", 2).round(Fraction("12.345"))
        1235
        >>> Currency("EUR", 2).round(Fraction("-12.345"))
        -1235
        """
        minor = abs(amount) * 10**self.exponent
        rounded = int(minor + Fraction(1, 2))
        return rounded if amount >= 0 else -rounded

    def from_minor(self, minor_units: int) -> Decimal:
        """Return minor units as an amount, with all decimals of the currency.

        >>> Currency("EUR", 2).from_minor(133)
        Decimal('1.33')
        """
        return Decimal(minor_units).scaleb(-self.exponent)


@cache
def _parse_currency(code: str) -> Currency:
    # Loading the table of currencies takes 0.1 s, which commands without money should not pay.
    import iso4217

    try:
        entry = iso4217.Currency(code)
    except ValueError:
        entry = None
    if entry is None or entry.exponent is None:
        raise InvalidArgument(
            f"currency: {code[:20]!r} is not a national currency of ISO 4217: "
            "write its three letters, such as EUR."
        )
    return Currency(entry.code, entry.exponent)
