"""Everything that can go wrong by rule. Raised where the rule lives, shown at the front doors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, ClassVar
from uuid import UUID

from app.domain.keys import without_secrets


class ChargebackError(Exception):
    """A refusal that its caller may read: what was wrong, with which value, and what is right."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, message: str = "", **details: int) -> None:
        # A value that is repeated may be a key in the wrong place.
        super().__init__(without_secrets(message))
        self.details = details
        """Figures that a program may read: the limit, and the value that passed it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, to another process: without its constructor, which takes other arguments."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[ChargebackError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> ChargebackError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InvalidMonth(ChargebackError):
    """A month is written `YYYY-MM`, named once, and not in the future."""

    code, status = "INVALID_MONTH", 400


class InvalidArgument(ChargebackError):
    """An argument or parameter is outside what it may be."""

    code, status = "INVALID_ARGUMENT", 400


class Unauthenticated(ChargebackError):
    """No key, or one that is unknown, expired or revoked: the same words for each."""

    code, status = "UNAUTHENTICATED", 401

    def __init__(
        self,
        organization_id: UUID | None = None,
        username: str | None = None,
        key_id: str | None = None,
    ) -> None:
        """What is known of whose key it is, for the audit log alone."""
        self.organization_id, self.username, self.key_id = organization_id, username, key_id
        super().__init__(
            "A valid API key is needed: send it as the header 'Authorization: <api key>'."
        )


class TooManyGuesses(ChargebackError):
    """Too many bad keys came from one place."""

    code, status = "TOO_MANY_GUESSES", 429

    def __init__(self, wait: timedelta) -> None:
        self.retry_after_seconds = max(1, ceil(wait.total_seconds()))
        super().__init__(
            f"Too many bad API keys came from this address: try again in "
            f"{self.retry_after_seconds} seconds."
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


class GraphiQLDisabled(ChargebackError):
    """There is no page for the browser: GraphiQL is switched off by a setting."""

    code, status = "GRAPHIQL_DISABLED", 404

    def __init__(self) -> None:
        super().__init__(
            "GraphiQL is switched off: ask with a GraphQL client, or set "
            "GRAPHIQL_ENABLED='True' and restart the service."
        )


_MOST_TOLD = 10**15


class PastLimit(ChargebackError):
    """A refusal that says the limit, the value that passed it, and the way round it."""

    words: ClassVar[str]

    def __init__(self, *, limit: int, value: int) -> None:
        # What fragments multiply has hundreds of digits; programs read 2^53 exactly.
        told = min(value, _MOST_TOLD)
        words = str(told) if told == value else f"{told} or more"
        super().__init__(self.words.format(limit=limit, value=words), limit=limit, value=told)


class TooManyTokens(PastLimit):
    """A GraphQL query is longer than it may be."""

    code, status = "TOO_MANY_TOKENS", 400
    words = (
        "A query may have {limit} tokens (names, values, punctuation) at the most; this has "
        "{value}. Use fragments and variables, or ask in several queries (GRAPHQL_MAX_TOKENS sets "
        "the limit)."
    )


class QueryTooDeep(PastLimit):
    """A GraphQL query nests fields deeper than it may."""

    code, status = "QUERY_TOO_DEEP", 400
    words = (
        "A query may nest {limit} fields at the most; this nests {value}. Ask for inner objects "
        "in a query of their own (GRAPHQL_MAX_DEPTH sets the limit)."
    )


class TooManyAliases(PastLimit):
    """A GraphQL query renames more fields than it may."""

    code, status = "TOO_MANY_ALIASES", 400
    words = (
        "A query may have {limit} aliases at the most, those of a fragment counted wherever it "
        "is spread; this has {value}. Ask in several queries, or for a range with "
        "chargebackReports (GRAPHQL_MAX_ALIASES sets the limit)."
    )


class TooManyDirectives(PastLimit):
    """A GraphQL query uses more directives than it may."""

    code, status = "TOO_MANY_DIRECTIVES", 400
    words = (
        "A query may use {limit} directives at the most, those of a fragment counted wherever "
        "it is spread; this uses {value}. Put one on a fragment instead of on each field "
        "(GRAPHQL_MAX_DIRECTIVES sets the limit)."
    )


class QueryTooCostly(PastLimit):
    """The answer to a GraphQL query might be larger than it may be."""

    code, status = "QUERY_TOO_COSTLY", 400
    words = (
        "A query may cost {limit} at the most; this costs {value}, the values that its answer "
        "may hold. Ask for fewer fields, fewer months at a time, or pages with the argument "
        "first (GRAPHQL_MAX_COST sets the limit)."
    )


class TooManyQueries(PastLimit):
    """As many queries of the key run as may run at a time."""

    code, status = "TOO_MANY_QUERIES", 429
    words = (
        "{limit} queries of one key may run at a time; this is number {value}. Wait for an "
        "answer before asking on (MAX_CONCURRENT_QUERIES_PER_KEY sets the limit)."
    )


class OrganizationNotFound(ChargebackError):
    """No organization has this name."""

    code, status = "ORGANIZATION_NOT_FOUND", 404


class NotFound(ChargebackError):
    """The thing named does not exist in this organization."""

    code, status = "NOT_FOUND", 404


class InvalidRows(ChargebackError):
    """Rows of a table have cells that cannot be imported; nothing of any file was stored."""

    code, status = "INVALID_ROWS", 400

    def __init__(self, problems: Sequence[str]) -> None:
        count = len(problems)
        what = "bad cell" if count == 1 else "bad cells"
        told = [f"{count} {what}; nothing of any file was stored.", *problems]
        super().__init__("\n  ".join(told))


class InvalidReport(ChargebackError):
    """A document that is no chargeback report, or that no rows could show again."""

    code, status = "INVALID_REPORT", 400


class ReportNotFetched(ChargebackError):
    """Another server did not give a report."""

    code, status = "REPORT_NOT_FETCHED", 502


class MonthTaken(ChargebackError):
    """A report is of a month that is closed, by another report or without one."""

    code, status = "MONTH_CLOSED", 409


class MonthHandedOver(ChargebackError):
    """A month before the hand-over stays what its imported report states."""

    code, status = "MONTH_HANDED_OVER", 409


class MonthNotClosed(ChargebackError):
    """Only the latest closed month can be opened again."""

    code, status = "MONTH_NOT_CLOSED", 409


class AlreadyExists(ChargebackError):
    """The name is taken."""

    code, status = "ALREADY_EXISTS", 409


class SourceBusy(ChargebackError):
    """Two runs of one source never run at a time."""

    code, status = "SOURCE_BUSY", 409


class ForeignUnavailable(ChargebackError):
    """What a source reads cannot be read: a database, a server, or a version of it."""

    code, status = "SOURCE_UNAVAILABLE", 502


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


class ServiceBusy(StoreUnavailable):
    """Others have what the request needs: the connections, or the room for large answers."""

    code = "SERVICE_BUSY"

    def __init__(self) -> None:
        super().__init__(
            "The service is busy with other requests: try again in a few seconds, or ask for "
            "less at a time."
        )


class StoreBehind(StoreUnavailable):
    """The store's tables are of an older version than the code."""

    code = "STORE_BEHIND"

    def __init__(self) -> None:
        super().__init__(
            "The store is not migrated to this version: restart the service, which migrates it."
        )


class StatementCancelled(StoreUnavailable):
    """PostgreSQL ended a statement: it ran for too long, or its administrator wished so."""

    code = "STATEMENT_CANCELLED"

    def __init__(self) -> None:
        super().__init__(
            "The store cancelled the request's statement, which ran for too long: try again, "
            "or ask for less at a time."
        )


class QueryTimedOut(ChargebackError):
    """A GraphQL query took longer than it may; its statement was cancelled."""

    code, status = "QUERY_TIMED_OUT", 503

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A query may take {limit} seconds at the most; this took longer and was stopped. "
            "Ask for fewer fields, fewer months at a time, or pages with the argument first "
            "(GRAPHQL_TIMEOUT_SECONDS sets the limit).",
            limit=limit,
        )


class FeedBusy(StoreUnavailable):
    """More is waiting for the store than may wait, or another batch takes long."""

    code = "FEED_BUSY"

    def __init__(self) -> None:
        super().__init__(
            "Too much is waiting to be stored already; send this batch again shortly."
        )


class BodyTooSlow(ChargebackError):
    """A request's body took longer to arrive than it may."""

    code, status = "BODY_TOO_SLOW", 408

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The body did not arrive in time: it may take {seconds:g} seconds, and a second more "
            "for every 50 kB of it. Send less at a time (BODY_TIMEOUT_SECONDS sets the limit)."
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
        self.event_count = 0
        """How many events the batch has, as far as whoever refuses it can tell."""
        count = len(self.problems)
        super().__init__(
            f"{count} bad {'event' if count == 1 else 'events'}; nothing of the batch was stored."
        )


def _codes(kind: type[ChargebackError]) -> frozenset[str]:
    own = {kind.code} if "code" in vars(kind) else frozenset()
    return frozenset(own).union(*map(_codes, kind.__subclasses__()))


CODES: frozenset[str] = _codes(ChargebackError) | {"INVALID_QUERY", "INTERNAL"}
"""Every code that an answer can carry. Codes are contract: listed in docs/errors.md."""
