"""What is known of the request that is being answered: noted by whoever learns it."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from starlette.types import Scope

from app.db.engine import Executed


@dataclass(slots=True)
class RequestRecord:
    """One request: what it asked, who asked, and what it has cost so far."""

    request_id: str
    scope: Scope
    root_field: str | None = None
    """Of a GraphQL operation: its only root field, or `several`."""
    operation_name: str | None = None
    """As the client chose it."""
    cost: int | None = None
    key_id: str | None = None
    organization: str | None = None
    code: str | None = None
    """Of the refusal; of a GraphQL answer's first error."""
    status: int = 0
    sent_bytes: int = 0
    statements: int = 0
    rows: int = 0
    statement_seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest_statement: str = ""
    span: object = None
    trace_id: str | None = None
    began_at: float = field(default_factory=time.perf_counter)

    @property
    def operation(self) -> str:
        """The route that it took, and of GraphQL the root field: few, whatever clients send."""
        endpoint = self.scope.get("endpoint")
        if endpoint is None:
            return "none"
        route = getattr(endpoint, "__name__", type(endpoint).__name__).lower()
        return f"{route}:{self.root_field}" if self.root_field else route

    @property
    def seconds(self) -> float:
        """Since its head was read."""
        return time.perf_counter() - self.began_at

    def note_statement(self, executed: Executed) -> None:
        """A statement was executed for it."""
        self.statements += 1
        self.rows += executed.rows
        self.statement_seconds += executed.seconds
        if executed.seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest_statement = executed.seconds, executed.text


class RequestObserver(Protocol):
    """What looks on: metrics, traces."""

    def began(self, observed: RequestRecord) -> None:
        """A request came; which route it takes is not known yet."""

    def executed(self, observed: RequestRecord, executed: Executed) -> None:
        """A statement ended, for a request or for none."""

    def ended(self, observed: RequestRecord) -> None:
        """The last byte was sent, or could not be."""

    def close(self) -> None:
        """The service stops."""


_NOBODY = "-"
current: ContextVar[RequestRecord | None] = ContextVar("observation", default=None)


def observation() -> RequestRecord:
    """The current request's; outside of any, one that nobody reads."""
    return current.get() or RequestRecord(_NOBODY, {})
