"""Rules for text that users enter: names, labels, reasons."""

from app.domain.errors import InvalidArgument

NUL = "\0"
"""U+0000, the only character that PostgreSQL cannot store in a text."""


def require_text(field: str, value: str, max_length: int) -> None:
    """Check that a value has 1 to `max_length` characters that PostgreSQL can store.

    Raises:
        InvalidArgument: It does not; the message names the field.
    """
    if not 1 <= len(value) <= max_length or NUL in value:
        raise InvalidArgument(
            f"{field}: must be 1 to {max_length} characters without U+0000; got {value[:80]!r}."
        )
