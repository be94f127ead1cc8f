"""How a row of an export differs from the same row of an earlier month."""

from decimal import Decimal

from app.domain.changes import to_percent
from app.export.rows import Fields


def compare_sizes(hundredths: int | None, before: int | None) -> Fields:
    """Return the fields that compare an average size with an earlier one, in 1/100 MB."""
    fields: Fields = {"average_before_in_mb": None if before is None else before / 100}
    if hundredths is None or before is None:
        return fields
    return {
        **fields,
        "change_in_mb": (hundredths - before) / 100,
        "change_in_percent": to_percent(hundredths - before, before),
    }


def compare_amounts(amount: Decimal, before: Decimal) -> Fields:
    """Return the fields that compare an amount with an earlier one."""
    return {
        "amount_before": before,
        "amount_change": amount - before,
        "change_in_percent": to_percent(amount - before, before),
    }
