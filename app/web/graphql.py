"""GraphQL over HTTP: the endpoint that executes queries against the schema."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from graphql import ExecutionResult, GraphQLError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.domain.audit import OK, UNFINISHED
from app.domain.callers import Caller
from app.domain.errors import (
    ChargebackError,
    Forbidden,
    QueryTimedOut,
    QueryTooCostly,
    StoreUnavailable,
)
from app.domain.json_types import JsonObject
from app.domain.keys import redact_secrets
from app.observability.logs import log
from app.observability.request_record import get_current_record
from app.settings import Settings
from app.web.app_state import get_app_state
from app.web.audit import record_actions, record_forbidden, request_actor
from app.web.auth import audit_forbidden, authenticate
from app.web.conditional import join_header_lines
from app.web.errors import error_headers
from app.web.graphql_request import (
    GRAPHQL_JSON,
    JSON,
    GraphQLRequest,
    InvalidRequest,
    PersistedQueryNotSupported,
    negotiate_media_type,
    parse_request,
)
from app.web.json_stream import cooperative_chunks, dumps, iter_json
from app.web.limits.concurrency import HoldUntilSent
from app.web.middleware.compression import compress, negotiate_encoding
from resolvers.context import Context
from resolvers.list_sizes import LARGEST_SUPPORTED, read_list_sizes
from schema import schema
from schema.access import require_scopes, root_field_names
from schema.operations import MAX_ERRORS, InvalidDocument, Operation, UnresolvedOperation
from schema.query_limits import QueryLimits

_STREAMING_ROW_COUNT = 1_000
"""Responses with this many rows or more are streamed."""
_BYTES_PER_ROW = 500
"""The memory that a row of a full report takes, as a dictionary plus its JSON."""
_MAX_MESSAGE_LENGTH = 400
_MAX_CACHED_QUERY_LENGTH = 2_000
_MAX_LOGGED_NAME_LENGTH = 200
_PREPARED_CACHE_SIZE = 64
"""The number of short queries cached in parsed form; they take at most 20 MB."""
_ORGANIZATION_ARGUMENT = re.compile(r"\borganization\s*:")
"""Found in queries that may read another organization, whose size is unknown."""


class _Reply(NamedTuple):
    """A response before it is serialized."""

    document: JsonObject
    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    row_count: int = 0


class GraphQLEndpoint:
    """The endpoint `/graphql`. Each request reads one snapshot of the store."""

    def __init__(self) -> None:
        self._prepare_cached = lru_cache(_PREPARED_CACHE_SIZE)(schema.prepare_operation)

    async def respond(self, request: Request) -> Response:
        """Respond to a request."""
        async with AsyncExitStack() as resources:
            response = await self._create_response(request, resources)
            return HoldUntilSent(response, resources.pop_all())

    async def _create_response(self, request: Request, resources: AsyncExitStack) -> Response:
        media_type = JSON
        try:
            media_type = negotiate_media_type(join_header_lines(request, "accept"))
            result, row_count = await self._execute(request, resources)
            reply = _to_reply(result, media_type)._replace(row_count=row_count)
        except UnresolvedOperation as error:
            reply = _to_invalid_reply(error.errors, media_type)._replace(status=400)
        except InvalidDocument as error:
            reply = _to_invalid_reply(error.errors, media_type)
        except ChargebackError as error:
            document = {"errors": [_format_chargeback_error(error)]}
            reply = _Reply(document, error.status, error_headers(error))
        except PersistedQueryNotSupported as error:
            code = "PERSISTED_QUERY_NOT_SUPPORTED"
            details = {"message": str(error), "extensions": {"code": code}}
            reply = _Reply({"errors": [details]}, 400 if media_type == GRAPHQL_JSON else 200)
        except InvalidRequest as error:
            details = {"message": str(error), "extensions": {"code": "INVALID_QUERY"}}
            reply = _Reply({"errors": [details]}, error.status, error.headers)
        return _to_response(request, reply, media_type)

    async def _execute(
        self, request: Request, resources: AsyncExitStack
    ) -> tuple[ExecutionResult, int]:
        """Execute a request; return its result and the number of rows read.

        `resources` keeps the key's query slot, and the memory reserved for a large response.
        """
        state = get_app_state(request)
        caller = await authenticate(request)
        graphql_request = await parse_request(request, state.settings.graphql_max_body_bytes)
        resources.enter_context(state.query_limit.slot(caller.key_id))
        operation = await self._prepare(graphql_request, state.settings)
        record = get_current_record()
        record.operation_name = (operation.name or "")[:_MAX_LOGGED_NAME_LENGTH] or None
        record.root_field = operation.root_field
        _require_permission(request, operation, caller)
        if "auditLog" in root_field_names(operation):
            await state.audit.flush()  # The result includes all earlier requests.
        result, row_count = await _execute_in_snapshot(request, caller, operation, graphql_request)
        if operation.is_query and row_count >= _STREAMING_ROW_COUNT:
            await resources.enter_async_context(
                state.response_memory.acquire(caller.organization_id, row_count * _BYTES_PER_ROW)
            )
        return result, row_count

    async def _prepare(self, graphql_request: GraphQLRequest, settings: Settings) -> Operation:
        """Parse and validate a query.

        Short queries are cached, because clients repeat them. Long ones are parsed in a thread,
        so that they do not block the event loop.
        """
        query = graphql_request.query
        arguments = (query, graphql_request.operationName, _operation_limits(settings))
        introspection = settings.graphql_introspection_enabled
        if len(query) <= _MAX_CACHED_QUERY_LENGTH:
            return self._prepare_cached(*arguments, introspection=introspection)
        return await asyncio.to_thread(
            schema.prepare_operation, *arguments, introspection=introspection
        )


def _operation_limits(settings: Settings) -> QueryLimits:
    return QueryLimits(
        tokens=settings.graphql_max_tokens,
        depth=settings.graphql_max_depth,
        aliases=settings.graphql_max_aliases,
        directives=settings.graphql_max_directives,
    )


def _require_permission(request: Request, operation: Operation, caller: Caller) -> None:
    if not operation.is_query and request.method != "POST":
        raise InvalidRequest(405, "Send mutations by POST, not by GET.", {"Allow": "POST"})
    with audit_forbidden(request, caller):
        require_scopes(operation, caller)


async def _execute_in_snapshot(
    request: Request, caller: Caller, operation: Operation, graphql_request: GraphQLRequest
) -> tuple[ExecutionResult, int]:
    state = get_app_state(request)
    async with (
        _query_timeout(operation, state.settings),
        state.database.snapshot(caller.organization_id) as snapshot,
    ):
        actor = request_actor(request, caller)
        context = Context(
            caller,
            state.database,
            snapshot,
            state.settings,
            state.now,
            actor,
            charges_cache=state.charges_cache,
        )
        await _require_cost_within_limit(operation, graphql_request, context)
        result = await _execute_audited(request, operation, graphql_request, context)
    return result, snapshot.row_count


@asynccontextmanager
async def _query_timeout(operation: Operation, settings: Settings) -> AsyncIterator[None]:
    """Cancel a query that takes too long, together with its running SQL statement.

    Mutations have no timeout: the caller must learn whether the transaction was committed.
    """
    seconds = settings.graphql_timeout_seconds
    try:
        async with asyncio.timeout(seconds if operation.is_query else None) as timeout:
            yield
    except TimeoutError:
        if timeout.expired():
            raise QueryTimedOut(seconds) from None
        raise


async def _require_cost_within_limit(
    operation: Operation, graphql_request: GraphQLRequest, context: Context
) -> None:
    """Reject an operation that costs too much.

    Most queries are affordable even for the largest supported organization. The actual sizes are
    read only for the others.
    """
    limit, variables = context.settings.graphql_max_cost, graphql_request.variables
    cost = schema.estimate_cost(operation, variables, LARGEST_SUPPORTED)
    if cost > limit and not _ORGANIZATION_ARGUMENT.search(graphql_request.query):
        sizes = await read_list_sizes(context)
        cost = schema.estimate_cost(operation, variables, sizes)
    get_current_record().cost = cost
    if cost > limit:
        raise QueryTooCostly(limit=limit, value=cost)


async def _execute_audited(
    request: Request, operation: Operation, graphql_request: GraphQLRequest, context: Context
) -> ExecutionResult:
    """Execute an operation, and record its actions and outcome in the audit log."""
    introspection = context.settings.graphql_introspection_enabled
    try:
        result = await schema.execute_operation(
            operation, graphql_request.variables, context, introspection=introspection
        )
    except BaseException:
        record_actions(request, context, UNFINISHED)
        raise
    causes = [_root_cause(error) for error in result.errors or ()]
    record_actions(request, context, _error_code(causes[0]) if causes else OK)
    if any(isinstance(cause, Forbidden) for cause in causes):
        record_forbidden(request, context.caller)
    return result


def _error_code(cause: BaseException) -> str:
    if isinstance(cause, ChargebackError):
        return cause.code
    return "INVALID_QUERY" if isinstance(cause, GraphQLError) else "INTERNAL"


def _to_reply(result: ExecutionResult, media_type: str) -> _Reply:
    errors = result.errors or []
    if result.data is None and not any(error.path for error in errors):
        # No error belongs to a field, so the execution did not start.
        return _to_invalid_reply(errors, media_type)
    document: JsonObject = {"data": result.data}
    if errors:
        document["errors"] = [_format_error(error) for error in errors[:MAX_ERRORS]]
    cause = _root_cause(errors[0]) if errors else None
    if result.data is None and isinstance(cause, StoreUnavailable):
        # Clients and proxies retry by the status.
        return _Reply(document, cause.status, error_headers(cause))
    return _Reply(document, 200)


def _to_invalid_reply(errors: Sequence[GraphQLError], media_type: str) -> _Reply:
    """Return the reply to a query that was not executed; only the newer type has status 400."""
    document = {"errors": [_format_error(error) for error in errors[:MAX_ERRORS]]}
    return _Reply(document, 400 if media_type == GRAPHQL_JSON else 200)


def _to_response(request: Request, reply: _Reply, media_type: str) -> Response:
    """Serialize a reply; a large one is streamed, because it would block the event loop."""
    document = {**reply.document, **_rest_error_fields(reply)}
    headers = {"Vary": "Accept", **reply.headers}
    if reply.row_count < _STREAMING_ROW_COUNT:
        return Response(dumps(document), reply.status, headers, media_type)
    chunks = cooperative_chunks(iter_json(document))
    encoding = negotiate_encoding(request)
    headers["Vary"] = "Accept, Accept-Encoding"
    if encoding is not None:
        chunks = compress(chunks, encoding.new_compressor())
        headers["Content-Encoding"] = encoding.name
    return StreamingResponse(chunks, reply.status, headers, media_type)


def _rest_error_fields(reply: _Reply) -> JsonObject:
    """Mirror the fields of a REST error in the response's `extensions`, for REST clients."""
    if reply.status == 200:
        return {}
    return {"extensions": {"msg": reply.document["errors"][0]["message"], "code": reply.status}}


def _format_error(error: GraphQLError) -> JsonObject:
    """Format an error for the client; an unexpected one is logged and reveals nothing."""
    cause = _root_cause(error)
    if isinstance(cause, ChargebackError):
        return _format_chargeback_error(cause, error)
    if isinstance(cause, GraphQLError):
        get_current_record().code = "INVALID_QUERY"
        message, extensions = _shorten(error.message), {"code": "INVALID_QUERY"}
        return {**error.formatted, "message": message, "extensions": extensions}
    log.error("unexpected error in a query", exc_info=cause)
    get_current_record().code = "INTERNAL"
    return {**error.formatted, "message": "Unexpected error.", "extensions": {"code": "INTERNAL"}}


def _format_chargeback_error(
    cause: ChargebackError, error: GraphQLError | None = None
) -> JsonObject:
    get_current_record().code = cause.code
    location: JsonObject = dict(error.formatted) if error is not None else {}
    extensions = {"code": cause.code, **cause.details}
    return {**location, "message": str(cause), "extensions": extensions}


def _shorten(message: str) -> str:
    """Shorten a message that quotes the query, which may be long or contain a key."""
    message = redact_secrets(message)
    if len(message) <= _MAX_MESSAGE_LENGTH:
        return message
    half = _MAX_MESSAGE_LENGTH // 2
    return f"{message[:half]} … {message[-half:]}"


def _root_cause(error: BaseException) -> BaseException:
    """Unwrap an error: graphql-core wraps the error of a bad variable in another."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error
