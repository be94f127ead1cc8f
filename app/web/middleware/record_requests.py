"""Record each request: assign an id, count, time and log it, and respond to unexpected errors."""

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
from app.observability.request_record import (
    RequestObserver,
    RequestRecord,
    current_record,
    shorten_path,
)
from app.web.errors import respond_unexpected

RESPONSE_HEADER = "X-Request-ID"
# The id goes into the log and back to the client, so it must not look like an API key.
_VALID_REQUEST_ID = re.compile(r"(?!.*cbk_)[0-9A-Za-z._-]{8,64}")
_DEBUG_OPERATIONS = frozenset({"healthz", "readyz", "metrics"})
_MAX_LOGGED_QUERY_LENGTH = 4_000


class RecordRequests:
    """The outermost middleware.

    Args:
        app: The wrapped application.
        observers: Notified of each request.
        id_header: The header whose value, if valid, becomes the request id; "" for none.
        slow_seconds: Requests of this duration or more are logged as slow.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[RequestObserver],
        id_header: str,
        slow_seconds: float,
    ) -> None:
        self._app = app
        self._observers = observers
        self._id_header = id_header
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle and record a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(self._choose_request_id(scope), scope)
        token = current_record.set(record)
        try:
            with structlog.contextvars.bound_contextvars(request_id=record.request_id):
                await self._handle(record, receive, _record_response(record, send))
        finally:
            current_record.reset(token)

    async def _handle(self, record: RequestRecord, receive: Receive, send: Send) -> None:
        for observer in self._observers:
            observer.request_started(record)
        try:
            await self._app(record.scope, receive, send)
        except Exception as error:
            await _handle_unexpected_error(record, error, receive, send)
        finally:
            for observer in self._observers:
                observer.request_finished(record)
            self._log(record)

    def _choose_request_id(self, scope: Scope) -> str:
        sent = Headers(scope=scope).get(self._id_header, "") if self._id_header else ""
        return sent if _VALID_REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)

    def _log(self, record: RequestRecord) -> None:
        is_debug = record.operation in _DEBUG_OPERATIONS
        fields = _log_fields(record)
        log.log(logging.DEBUG if is_debug else logging.INFO, "request", extra=fields)
        if record.seconds >= self._slow_seconds and not is_debug:
            slowest_query = {
                "slowest_query_seconds": round(record.slowest_query_seconds, 6),
                "slowest_query": record.slowest_query[:_MAX_LOGGED_QUERY_LENGTH],
            }
            log.warning("slow request", extra=fields | slowest_query)


def _record_response(record: RequestRecord, send: Send) -> Send:
    """Wrap `send` to record the response and add the request id to its headers."""

    async def send_recorded(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
            MutableHeaders(scope=message)[RESPONSE_HEADER] = record.request_id
        record.response_bytes += len(message.get("body", b""))
        await send(message)

    return send_recorded


async def _handle_unexpected_error(
    record: RequestRecord, error: Exception, receive: Receive, send: Send
) -> None:
    """Respond with status 500, or abort the response if it has already started."""
    if record.status == 0:
        response = await respond_unexpected(Request(record.scope), error)
        await response(record.scope, receive, send)
        return
    cause = error.__cause__ or error
    if isinstance(cause, ClientDisconnect):
        record.code = "CLIENT_GONE"
        return
    is_expected = isinstance(cause, ChargebackError)
    record.code = cause.code if isinstance(cause, ChargebackError) else "INTERNAL"
    log.error("response aborted: %s", cause, exc_info=None if is_expected else error)
    raise error


def _log_fields(record: RequestRecord) -> dict[str, Any]:
    client = record.scope.get("client")
    fields = {
        "method": record.scope["method"],
        "path": shorten_path(record.scope["path"]),
        "status": record.status,
        "duration_seconds": round(record.seconds, 6),
        "response_bytes": record.response_bytes,
        "client_address": client[0] if client else None,
        "operation": record.operation,
        "graphql_operation_name": record.operation_name,
        "graphql_cost": record.cost,
        "db_query_count": record.query_count,
        "db_row_count": record.row_count,
        "db_query_seconds": round(record.query_seconds, 6),
        "key_id": record.key_id,
        "organization": record.organization,
        "error_code": record.code,
        "trace_id": record.trace_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
