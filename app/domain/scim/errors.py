"""SCIM's own refusals; its routes show them in SCIM's own form."""

from app.domain.errors import ChargebackError


class ScimRefusal(ChargebackError):
    """A request that SCIM's rules refuse.

    Args:
        message: What is wrong, with which value.
        scim_type: The keyword of RFC 7644, table 9; empty where there is none.
    """

    code, status = "SCIM", 400

    def __init__(self, message: str, scim_type: str = "invalidValue") -> None:
        super().__init__(message)
        self.scim_type = scim_type


class ScimNotFound(ScimRefusal):
    """There is no such resource or path."""

    status = 404


class ScimTaken(ScimRefusal):
    """The name belongs to another resource."""

    status = 409


class ScimChanged(ScimRefusal):
    """The resource has another version than the client knows."""

    status = 412


class ScimUnsupported(ScimRefusal):
    """A method that this path does not have."""

    status = 405


class ScimMediaType(ScimRefusal):
    """A body of another type."""

    status = 415


class ScimNoFilter(ScimRefusal):
    """A filter where there is none to be had."""

    status = 403
