"""Requests that SCIM's rules reject."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from scim2_models import Error, SCIMException

from app.domain.errors import InvalidArgument

_MAX_SHOWN = 80


class InvalidScimRequest(InvalidArgument):
    """A resource, filter or operation that cannot be read or applied.

    Args:
        message: What is wrong, with which value.
        scim_type: The keyword of RFC 7644, table 9.
    """

    def __init__(self, message: str, scim_type: str = "invalidValue") -> None:
        super().__init__(message)
        self.scim_type = scim_type


@contextmanager
def translate_scim_errors(where: str = "") -> Iterator[None]:
    """Raise the errors of scim2-models as `InvalidScimRequest`; `where` precedes the message."""
    try:
        yield
    except InvalidScimRequest as error:
        raise InvalidScimRequest(f"{where}{error}", error.scim_type) from None
    except ValidationError as error:
        raise _to_request_error(where, error) from None
    except SCIMException as error:
        if isinstance(error.__cause__, ValidationError):
            raise _to_request_error(where, error.__cause__) from None
        message = f"{where}{_end_sentence(str(error))}"
        raise InvalidScimRequest(message, error.scim_type) from None


def _to_request_error(where: str, error: ValidationError) -> InvalidScimRequest:
    first = error.errors(include_url=False)[0]
    found = Error.from_validation_error(first)
    message = _describe(first, str(found.detail).replace("Value error, ", ""))
    return InvalidScimRequest(f"{where}{message}", found.scim_type or "invalidValue")


def _describe(error: Any, detail: str) -> str:
    """Return `attribute: what is wrong; got the value`."""
    message, _, path = detail.rpartition(": ")
    if error["type"].startswith("scim_") or not message:
        return _end_sentence(detail)
    described = f"{path}: {message[:1].lower()}{message[1:]}"
    return _end_sentence(f"{described}; got {show_value(error['input'])}")


def _end_sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def show_value(value: object) -> str:
    """Return a value as an error message shows it: shortened, and objects by their kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    written = repr(value)
    return written if len(written) <= _MAX_SHOWN else f"{written[:_MAX_SHOWN]}…"
