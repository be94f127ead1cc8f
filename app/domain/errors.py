"""Every error that a client can receive: its code, HTTP status and message.

Raised where a rule is enforced; GraphQL, REST and the command line turn them into responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, ClassVar
from uuid import UUID

from app.domain.keys import redact_secrets


class ChargebackError(Exception):
    """An error whose message the client may read.

    The message says what was wrong, with which value, and what is right.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    scim_type: str = ""
    """SCIM's keyword for the error (RFC 7644, table 9); empty where there is none."""

    def __init__(self, message: str = "", **details: int) -> None:
        # Messages repeat values from the request, and one of them could be a misplaced API key.
        super().__init__(redact_secrets(message))
        self.details = details
        """Numbers for programs: the limit, and the value that exceeded it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling the constructor, whose parameters differ between subclasses."""
        return _unpickle, (type(self), self.args, self.__dict__)


def _unpickle(
    error_class: type[ChargebackError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> ChargebackError:
    error = error_class.__new__(error_class, *args)
    error.__dict__.update(attributes)
    return error


class InvalidMonth(ChargebackError):
    """A month is not written `YYYY-MM`, or is in the future."""

    code, status = "INVALID_MONTH", 400


class InvalidArgument(ChargebackError):
    """An argument or parameter has a value that is not allowed."""

    code, status = "INVALID_ARGUMENT", 400
    scim_type = "invalidValue"


class Unauthenticated(ChargebackError):
    """The API key is missing, unknown, expired or revoked.

    The message is the same for each, so that it reveals nothing about the key.
    """

    code, status = "UNAUTHENTICATED", 401

    def __init__(
        self,
        organization_id: UUID | None = None,
        username: str | None = None,
        key_id: str | None = None,
    ) -> None:
        """Keep what is known about the key, for the audit log only."""
        self.organization_id, self.username, self.key_id = organization_id, username, key_id
        super().__init__(
            "A valid API key is required: send it in the header 'Authorization: <api key>'."
        )


class TooManyFailedAttempts(ChargebackError):
    """Too many requests with invalid keys came from one network."""

    code, status = "RATE_LIMITED", 429

    def __init__(self, wait: timedelta) -> None:
        self.retry_after_seconds = max(1, ceil(wait.total_seconds()))
        super().__init__(
            "Too many requests with an invalid API key came from this address: try again in "
            f"{self.retry_after_seconds} seconds."
        )


class Forbidden(ChargebackError):
    """The caller is authenticated but may not do this."""

    code, status = "FORBIDDEN", 403


class ReportDisabled(ChargebackError):
    """CHARGEBACK_USAGE_REPORT_ENABLED is off."""

    code, status = "REPORT_DISABLED", 404

    def __init__(self) -> None:
        super().__init__(
            "The chargeback report is switched off: set CHARGEBACK_USAGE_REPORT_ENABLED='True' "
            "and restart the service."
        )


class IntrospectionDisabled(ChargebackError):
    """GRAPHQL_INTROSPECTION_ENABLED is off."""

    code, status = "INTROSPECTION_DISABLED", 403

    def __init__(self) -> None:
        super().__init__(
            "Introspection is switched off. The schema is in the documentation and in the file "
            "schema/schema.graphql. To switch introspection on, set "
            "GRAPHQL_INTROSPECTION_ENABLED='True' and restart the service."
        )


class GraphiQLDisabled(ChargebackError):
    """GRAPHIQL_ENABLED is off."""

    code, status = "GRAPHIQL_DISABLED", 404

    def __init__(self) -> None:
        super().__init__(
            "GraphiQL is switched off: use a GraphQL client, or set GRAPHIQL_ENABLED='True' and "
            "restart the service."
        )


_MAX_REPORTED_VALUE = 10**15


class LimitExceeded(ChargebackError):
    """A request exceeds a limit. The message gives the limit, the value, and a way around it."""

    template: ClassVar[str]

    def __init__(self, *, limit: int, value: int) -> None:
        # Nested fragments multiply to numbers of hundreds of digits, but JSON clients read
        # integers exactly only up to 2^53.
        reported = min(value, _MAX_REPORTED_VALUE)
        shown = str(reported) if reported == value else f"{reported} or more"
        super().__init__(
            self.template.format(limit=limit, value=shown), limit=limit, value=reported
        )


class TooManyTokens(LimitExceeded):
    """A GraphQL query has too many tokens."""

    code, status = "TOO_MANY_TOKENS", 400
    template = (
        "A query may have at most {limit} tokens (names, values, punctuation); this one has "
        "{value}. Use fragments and variables, or send several queries (GRAPHQL_MAX_TOKENS sets "
        "the limit)."
    )


class QueryTooDeep(LimitExceeded):
    """A GraphQL query nests fields too deeply."""

    code, status = "QUERY_TOO_DEEP", 400
    template = (
        "A query may nest fields at most {limit} deep; this one nests them {value} deep. Request "
        "inner objects in a separate query (GRAPHQL_MAX_DEPTH sets the limit)."
    )


class TooManyAliases(LimitExceeded):
    """A GraphQL query has too many aliases."""

    code, status = "TOO_MANY_ALIASES", 400
    template = (
        "A query may have at most {limit} aliases, counting those of a fragment wherever it is "
        "spread; this one has {value}. Send several queries, or request a range of months with "
        "chargebackReports (GRAPHQL_MAX_ALIASES sets the limit)."
    )


class TooManyDirectives(LimitExceeded):
    """A GraphQL query has too many directives."""

    code, status = "TOO_MANY_DIRECTIVES", 400
    template = (
        "A query may have at most {limit} directives, counting those of a fragment wherever it "
        "is spread; this one has {value}. Put one on a fragment instead of on each field "
        "(GRAPHQL_MAX_DIRECTIVES sets the limit)."
    )


class QueryTooCostly(LimitExceeded):
    """The response to a GraphQL query could be too large."""

    code, status = "QUERY_TOO_COSTLY", 400
    template = (
        "A query may cost at most {limit}; this one costs {value}, the number of values that its "
        "response may contain. Request fewer fields, fewer months at a time, or pages with the "
        "argument first (GRAPHQL_MAX_COST sets the limit)."
    )


class TooManyConcurrentQueries(LimitExceeded):
    """The API key already has as many queries running as it may have."""

    code, status = "TOO_MANY_CONCURRENT_QUERIES", 429
    template = (
        "One API key may run {limit} queries at a time; this would be number {value}. Wait for a "
        "response before sending the next query (MAX_CONCURRENT_QUERIES_PER_KEY sets the limit)."
    )


class OrganizationNotFound(ChargebackError):
    """No organization has this name."""

    code, status = "ORGANIZATION_NOT_FOUND", 404


class NotFound(ChargebackError):
    """The organization has no entity of this name or id."""

    code, status = "NOT_FOUND", 404


class InvalidRows(ChargebackError):
    """Table rows have cells that cannot be imported; no file was stored."""

    code, status = "INVALID_ROWS", 400

    def __init__(self, problems: Sequence[str]) -> None:
        count = len(problems)
        cells = "cell" if count == 1 else "cells"
        summary = f"{count} invalid {cells}; nothing was stored from any file."
        super().__init__("\n  ".join([summary, *problems]))


class InvalidReport(ChargebackError):
    """A document is not a chargeback report, or no set of rows could reproduce it."""

    code, status = "INVALID_REPORT", 400


class ReportFetchFailed(ChargebackError):
    """Another server did not return a report."""

    code, status = "REPORT_FETCH_FAILED", 502


class CurrencyMismatch(ChargebackError):
    """An organization charges in one currency, and its prices are in that currency."""

    code, status = "CURRENCY_MISMATCH", 409


class MonthClosed(ChargebackError):
    """A closed month cannot change: neither its report nor the prices and assignments in force."""

    code, status = "MONTH_CLOSED", 409


class MonthNotClosed(ChargebackError):
    """The month is open; or a later one is closed, and only the latest can be reopened."""

    code, status = "MONTH_NOT_CLOSED", 409


class ClosesOtherMonths(ChargebackError):
    """Closing the month would also close earlier months that the request does not name."""

    code, status = "CLOSES_OTHER_MONTHS", 409


class AlreadyExists(ChargebackError):
    """The name is already in use."""

    code, status = "ALREADY_EXISTS", 409
    scim_type = "uniqueness"


class PreconditionFailed(ChargebackError):
    """The resource has another version than the one that the client named."""

    code, status = "PRECONDITION_FAILED", 412


class SourceBusy(ChargebackError):
    """Another run of the source is still in progress."""

    code, status = "SOURCE_BUSY", 409


class SourceUnavailable(ChargebackError):
    """A source's database or server cannot be reached, or has an unsupported version."""

    code, status = "SOURCE_UNAVAILABLE", 502


class StoreUnavailable(ChargebackError):
    """PostgreSQL cannot be reached, or did not respond in time."""

    code, status = "STORE_UNAVAILABLE", 503

    def __init__(
        self,
        message: str = "The store cannot be reached at the moment; try again in a few seconds.",
    ) -> None:
        super().__init__(message)


class StoreNotIsolated(ChargebackError):
    """Row-level security would not apply to the PostgreSQL user of the service."""

    code, status = "STORE_NOT_ISOLATED", 503


class StoreFromPrerelease(ChargebackError):
    """The store's schema is one that only development versions had."""

    code, status = "STORE_FROM_PRERELEASE", 503

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"The store's schema, {revision}, is of a development version before 1.0 and cannot "
            "be upgraded: start with a new data folder or an empty database."
        )


class ServiceBusy(StoreUnavailable):
    """Other requests hold the connections or the memory that this request needs."""

    code = "SERVICE_BUSY"

    def __init__(self) -> None:
        super().__init__(
            "The service is busy with other requests: try again in a few seconds, or request less "
            "at a time."
        )


class StoreNotMigrated(StoreUnavailable):
    """The store's schema is older than the code."""

    code = "STORE_NOT_MIGRATED"

    def __init__(self) -> None:
        super().__init__(
            "The store has not been migrated to this version: restart the service to migrate it."
        )


class StatementCancelled(StoreUnavailable):
    """PostgreSQL cancelled a statement: it ran too long, or an administrator cancelled it."""

    code = "STATEMENT_CANCELLED"

    def __init__(self) -> None:
        super().__init__(
            "The store cancelled the request's statement because it ran too long: try again, or "
            "request less at a time."
        )


class QueryTimedOut(ChargebackError):
    """A GraphQL query exceeded GRAPHQL_TIMEOUT_SECONDS; its statement was cancelled."""

    code, status = "QUERY_TIMED_OUT", 503

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A query may take at most {limit} seconds; this one took longer and was stopped. "
            "Request fewer fields, fewer months at a time, or pages with the argument first "
            "(GRAPHQL_TIMEOUT_SECONDS sets the limit).",
            limit=limit,
        )


class IngestQueueFull(StoreUnavailable):
    """Too many events are queued already, or another writer takes too long."""

    code = "INGEST_QUEUE_FULL"

    def __init__(
        self, message: str = "Too many events are queued already: send this batch again shortly."
    ) -> None:
        super().__init__(message)


class StoreFull(StoreUnavailable):
    """The disk of the embedded store is almost full, so events are refused."""

    code = "STORE_FULL"


class BatchWritesTooMuch(ChargebackError):
    """A batch would write more month rows than one batch may."""

    code, status = "BATCH_WRITES_TOO_MUCH", 413

    def __init__(self, *, limit: int, rows: int) -> None:
        super().__init__(
            f"This batch would write {rows:,} month rows, and a batch may write {limit:,}: its "
            "events reach back over many months. Send fewer at a time, or use 'chargeback import'."
        )


class BodyTimedOut(ChargebackError):
    """A request's body took too long to arrive."""

    code, status = "BODY_TIMED_OUT", 408

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The request body did not arrive in time: it may take {seconds:g} seconds, plus one "
            "second per 50 kB. Send less at a time (BODY_TIMEOUT_SECONDS sets the limit)."
        )


class BodyTooLarge(ChargebackError):
    """A request's body is too large, either compressed or decompressed."""

    code, status = "BODY_TOO_LARGE", 413


class UnsupportedMediaType(ChargebackError):
    """The route does not read bodies of this Content-Type or Content-Encoding."""

    code, status = "UNSUPPORTED_MEDIA_TYPE", 415


@dataclass(frozen=True, slots=True)
class EventProblem:
    """What is wrong with one event.

    Attributes:
        index: Position of the event in the batch, counted from 0.
        field: Path of the field, such as `data.username`; empty for the event as a whole.
        message: What is wrong with it.
    """

    index: int
    field: str
    message: str


class InvalidBatch(ChargebackError):
    """At least one event of the batch is invalid, so none of it was stored."""

    code, status = "INVALID_BATCH", 400

    def __init__(self, problems: Sequence[EventProblem]) -> None:
        self.problems = tuple(problems)
        self.event_count = 0
        """Number of events in the batch; 0 if it cannot be determined."""
        count = len(self.problems)
        super().__init__(
            f"{count} invalid {'event' if count == 1 else 'events'}; nothing was stored."
        )


def _collect_codes(error_class: type[ChargebackError]) -> frozenset[str]:
    own = {error_class.code} if "code" in vars(error_class) else frozenset()
    return frozenset(own).union(*map(_collect_codes, error_class.__subclasses__()))


CODES: frozenset[str] = _collect_codes(ChargebackError) | {
    "INVALID_QUERY",
    "INTERNAL",
    "PERSISTED_QUERY_NOT_SUPPORTED",
}
"""Every code that a response can carry. Codes are part of the API; docs/errors.md lists them."""
