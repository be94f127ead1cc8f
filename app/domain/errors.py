"""Everything that can go wrong by rule. Raised where the rule lives, shown at the front doors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class ChargebackError(Exception):
    """A refusal that its caller may read: what was wrong, with which value, and what is right."""

    code: ClassVar[str]
    status: ClassVar[int]


class InvalidMonth(ChargebackError):
    """A month is written `YYYY-MM`, named once, and not in the future."""

    code, status = "INVALID_MONTH", 400


class InvalidArgument(ChargebackError):
    """An argument or parameter is outside what it may be."""

    code, status = "INVALID_ARGUMENT", 400


class Unauthenticated(ChargebackError):
    """No key, or one that is unknown, expired or revoked: the same words for each."""

    code, status = "UNAUTHENTICATED", 401

    def __init__(self) -> None:
        super().__init__(
            "A valid API key is needed: send it as the header 'Authorization: <api key>'."
        )


class Forbidden(ChargebackError):
    """The caller is known and may not do this."""

    code, status = "FORBIDDEN", 403


class ReportDisabled(ChargebackError):
    """The report is switched off by a setting."""

    code, status = "REPORT_DISABLED", 404

    def __init__(self) -> None:
        super().__init__(
            "The chargeback report is switched off: set CHARGEBACK_USAGE_REPORT_ENABLED='True' "
            "and restart the service."
        )


class IntrospectionDisabled(ChargebackError):
    """The schema is not told: introspection is switched off by a setting."""

    code, status = "INTROSPECTION_DISABLED", 403

    def __init__(self) -> None:
        super().__init__(
            "Introspection is switched off: the schema is in the documentation, and in the "
            "file schema/schema.graphql. To switch it on, set "
            "GRAPHQL_INTROSPECTION_ENABLED='True' and restart the service."
        )


class OrganizationNotFound(ChargebackError):
    """No organization has this name."""

    code, status = "ORGANIZATION_NOT_FOUND", 404


class NotFound(ChargebackError):
    """The thing named does not exist in this organization."""

    code, status = "NOT_FOUND", 404


class MonthNotClosed(ChargebackError):
    """Only the latest closed month can be opened again."""

    code, status = "MONTH_NOT_CLOSED", 409


class AlreadyExists(ChargebackError):
    """The name is taken."""

    code, status = "ALREADY_EXISTS", 409


class SourceBusy(ChargebackError):
    """Two runs of one source never run at a time."""

    code, status = "SOURCE_BUSY", 409


class StoreUnavailable(ChargebackError):
    """PostgreSQL cannot be reached, or did not answer in time."""

    code, status = "STORE_UNAVAILABLE", 503

    def __init__(
        self,
        message: str = "The store cannot be reached at the moment; try again in a few seconds.",
    ) -> None:
        super().__init__(message)


class StoreNotIsolated(ChargebackError):
    """PostgreSQL would not keep organizations apart for this user."""

    code, status = "STORE_NOT_ISOLATED", 503


class StatementCancelled(StoreUnavailable):
    """PostgreSQL ended a statement: it ran for too long, or its administrator wished so."""

    code = "STATEMENT_CANCELLED"

    def __init__(self) -> None:
        super().__init__(
            "The store cancelled the request's statement, which ran for too long: try again, "
            "or ask for less at a time."
        )


class FeedBusy(StoreUnavailable):
    """More is waiting for the store than may wait."""

    code = "FEED_BUSY"

    def __init__(self) -> None:
        super().__init__(
            "Too much is waiting to be stored already; send this batch again shortly."
        )


class BodyTooLarge(ChargebackError):
    """A request's body is larger than it may be, as sent or as unpacked."""

    code, status = "BODY_TOO_LARGE", 413


class UnsupportedBody(ChargebackError):
    """A body of a type or an encoding that this route does not read."""

    code, status = "UNSUPPORTED_BODY", 415


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad event: its position (from 0), the field as a path, and what is wrong with it."""

    index: int
    field: str
    message: str


class InvalidBatch(ChargebackError):
    """At least one event of the batch is wrong, so none of it was stored."""

    code, status = "INVALID_BATCH", 400

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} bad {'event' if count == 1 else 'events'}; nothing of the batch was stored."
        )


def _codes(kind: type[ChargebackError]) -> frozenset[str]:
    return frozenset().union(*({error.code} | _codes(error) for error in kind.__subclasses__()))


CODES: frozenset[str] = _codes(ChargebackError) | {"INVALID_QUERY", "INTERNAL"}
"""Every code that an answer can carry. Codes are contract: listed in docs/errors.md."""
