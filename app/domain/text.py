"""Rules for text that users enter: names, labels, reasons."""

import unicodedata
from typing import Any

from app.domain.errors import InvalidArgument

NUL = "\0"
"""U+0000, the only character that PostgreSQL cannot store in a text."""


def normalize_name(name: str) -> str:
    """Return a name in Unicode's Normalization Form C, in which every name is stored (ADR 0052).

    >>> normalize_name("Jose\u0301") == "Jos\u00e9"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def normalize_document(value: object) -> Any:
    """Return decoded JSON with all its texts normalized, keys included."""
    if isinstance(value, str):
        return normalize_name(value)
    if isinstance(value, list):
        return [normalize_document(each) for each in value]
    if isinstance(value, dict):
        return {normalize_name(key): normalize_document(each) for key, each in value.items()}
    return value


def require_text(field: str, value: str, max_length: int) -> None:
    """Check that a value has 1 to `max_length` characters that PostgreSQL can store.

    Raises:
        InvalidArgument: It does not; the message names the field.
    """
    if not 1 <= len(value) <= max_length or NUL in value:
        raise InvalidArgument(
            f"{field}: must be 1 to {max_length} characters without U+0000; got {value[:80]!r}."
        )
