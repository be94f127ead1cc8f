"""The record of the current request, which logs, metrics and traces report."""

import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.db.pool import ExecutedStatement

_MAX_PATH_LENGTH = 300


def shorten_path(path: str) -> str:
    """Return a path for logs, traces and the audit log; clients choose its length."""
    return path if len(path) <= _MAX_PATH_LENGTH else f"{path[:_MAX_PATH_LENGTH]}…"


@dataclass(slots=True)
class RequestRecord:
    """One HTTP request: the caller, the operation, and what it has cost so far.

    Attributes:
        request_id: The id in the log and in `X-Request-ID`.
        scope: The ASGI scope.
        root_field: The only root field of a GraphQL operation, or `several`.
        operation_name: The name that the client gave its GraphQL operation.
        cost: The estimated cost of a GraphQL operation.
        code: The error code; for a GraphQL response, that of its last error.
        status: The HTTP status; 0 until the response starts.
    """

    request_id: str
    scope: MutableMapping[str, Any]
    root_field: str | None = None
    operation_name: str | None = None
    cost: int | None = None
    key_id: str | None = None
    organization: str | None = None
    code: str | None = None
    status: int = 0
    response_bytes: int = 0
    query_count: int = 0
    row_count: int = 0
    query_seconds: float = 0.0
    slowest_query_seconds: float = 0.0
    slowest_query: str = ""
    span: object = None
    trace_id: str | None = None
    started_at: float = field(default_factory=time.perf_counter)

    @property
    def operation(self) -> str:
        """The endpoint's name, with the root field for GraphQL; clients cannot add values."""
        endpoint = self.scope.get("endpoint")
        if endpoint is None:
            return "none"
        name = getattr(endpoint, "__name__", type(endpoint).__name__).lower()
        return f"{name}:{self.root_field}" if self.root_field else name

    @property
    def seconds(self) -> float:
        """The seconds since the request started."""
        return time.perf_counter() - self.started_at

    def add_query(self, executed: ExecutedStatement) -> None:
        """Add an SQL statement that this request executed."""
        self.query_count += 1
        self.row_count += executed.rows
        self.query_seconds += executed.seconds
        if executed.seconds > self.slowest_query_seconds:
            self.slowest_query_seconds, self.slowest_query = executed.seconds, executed.text


class RequestObserver(Protocol):
    """Observes requests and their SQL statements: metrics, traces."""

    def request_started(self, record: RequestRecord) -> None:
        """Observe a new request; its route is not known yet."""

    def query_executed(self, record: RequestRecord, executed: ExecutedStatement) -> None:
        """Observe an SQL statement, of a request or of a background job."""

    def request_finished(self, record: RequestRecord) -> None:
        """Observe the end of a request, whether or not its response was sent completely."""

    def close(self) -> None:
        """Flush and release resources when the service stops."""


_NO_REQUEST_ID = "-"
current_record: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def get_current_record() -> RequestRecord:
    """Return the record of the current request; outside of a request, a throwaway record."""
    return current_record.get() or RequestRecord(_NO_REQUEST_ID, {})
