"""Every request observed: given an id, counted, timed, logged, and answered when we fail."""

import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import ChargebackError
from app.observability.logs import log
from app.observability.request_record import RequestObserver, RequestRecord, current
from app.web.errors import fail

RESPONSE_HEADER = "X-Request-ID"
# Nor may it look like a key: it goes into the log and back to the client.
_WELL_FORMED = re.compile(r"(?!.*cbk_)[0-9A-Za-z._-]{8,64}")
_QUIET = frozenset({"healthz", "readyz", "metrics", "staticfiles"})
_LONGEST_STATEMENT = 4_000


class RecordRequests:
    """Middleware around all others.

    Args:
        app: What answers.
        watchers: Told of each request and statement.
        id_header: Whose value becomes the request's id when it is well-formed; "" for none.
        slow_seconds: From when on a request is slow.
    """

    def __init__(
        self,
        app: ASGIApp,
        watchers: Sequence[RequestObserver],
        id_header: str,
        slow_seconds: float,
    ) -> None:
        self._app = app
        self._watchers = watchers
        self._id_header = id_header
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and observe."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observed = RequestRecord(self._request_id(scope), scope)
        here = current.set(observed)
        try:
            with structlog.contextvars.bound_contextvars(request_id=observed.request_id):
                await self._answer(observed, receive, _noting(observed, send))
        finally:
            current.reset(here)

    async def _answer(self, observed: RequestRecord, receive: Receive, send: Send) -> None:
        for watcher in self._watchers:
            watcher.began(observed)
        try:
            await self._app(observed.scope, receive, send)
        except Exception as error:
            await _give_up(observed, error, receive, send)
        finally:
            for watcher in self._watchers:
                watcher.ended(observed)
            self._log(observed)

    def _request_id(self, scope: Scope) -> str:
        given = Headers(scope=scope).get(self._id_header, "") if self._id_header else ""
        return given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)

    def _log(self, observed: RequestRecord) -> None:
        is_quiet = observed.operation in _QUIET
        facts = _facts(observed)
        log.log(logging.DEBUG if is_quiet else logging.INFO, "request", extra=facts)
        if observed.seconds >= self._slow_seconds and not is_quiet:
            slowest = observed.slowest_statement[:_LONGEST_STATEMENT]
            more = {"slowest_seconds": round(observed.slowest_seconds, 6), "statement": slowest}
            log.warning("slow query", extra=facts | more)


def _noting(observed: RequestRecord, send: Send) -> Send:
    """Sends on, with the request's id among the headers."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            observed.status = message["status"]
            MutableHeaders(scope=message)[RESPONSE_HEADER] = observed.request_id
        observed.sent_bytes += len(message.get("body", b""))
        await send(message)

    return noting


async def _give_up(
    observed: RequestRecord, error: Exception, receive: Receive, send: Send
) -> None:
    """Our own mistake is an answer as long as none has begun; then it can only break off."""
    if observed.status == 0:
        response = await fail(Request(observed.scope), error)
        await response(observed.scope, receive, send)
        return
    cause = error.__cause__ or error
    if isinstance(cause, ClientDisconnect):
        observed.code = "CLIENT_GONE"
        return
    known = isinstance(cause, ChargebackError)
    observed.code = cause.code if isinstance(cause, ChargebackError) else "INTERNAL"
    log.error("an answer broke off: %s", cause, exc_info=None if known else error)
    raise error


def _facts(observed: RequestRecord) -> dict[str, Any]:
    client = observed.scope.get("client")
    facts = {
        "method": observed.scope["method"],
        "path": observed.scope["path"],
        "status": observed.status,
        "seconds": round(observed.seconds, 6),
        "sent_bytes": observed.sent_bytes,
        "client": client[0] if client else None,
        "operation": observed.operation,
        "operation_name": observed.operation_name,
        "cost": observed.cost,
        "statements": observed.statements,
        "rows": observed.rows,
        "statement_seconds": round(observed.statement_seconds, 6),
        "key_id": observed.key_id,
        "organization": observed.organization,
        "code": observed.code,
        "trace_id": observed.trace_id,
    }
    return {name: value for name, value in facts.items() if value is not None}
