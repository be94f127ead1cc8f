"""GraphQL over HTTP: mounts the schema, builds each request's context, gives errors codes."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from graphql import ExecutionResult, GraphQLError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.domain.audit import OK, UNFINISHED
from app.domain.errors import (
    ChargebackError,
    Forbidden,
    QueryTimedOut,
    QueryTooCostly,
    StoreUnavailable,
)
from app.domain.keys import redact_secrets
from app.observability.logs import log
from app.observability.request_record import observation
from app.settings import Settings
from app.web.app_state import get_app_state
from app.web.audit import actor_of, note_acts, note_forbidden
from app.web.auth import authenticate, noting_forbidden
from app.web.conditional import listed
from app.web.errors import headers_of
from app.web.graphql_request import (
    GRAPHQL_JSON,
    JSON,
    GraphQLRequest,
    RequestRefused,
    negotiate_media_type,
    parse_request,
)
from app.web.json_stream import dumps, in_turns, pieces
from app.web.limits.concurrency import HoldUntilSent
from app.web.middleware.compression import compress, negotiate_encoding
from resolvers.context import Context
from resolvers.list_sizes import LARGEST_SUPPORTED, read_list_sizes
from schema import schema
from schema.access import require_scopes, root_field_names
from schema.operations import (
    MAX_ERRORS,
    InvalidDocument,
    Operation,
    UnresolvedOperation,
)
from schema.query_limits import QueryLimits

_LARGE = 1_000
"""From so many rows on, an answer is written in pieces."""
_BYTES_PER_ROW = 500
"""What a row of a full report takes, as a dictionary and as written."""
_LONGEST_MESSAGE = 400
_SHORT_TEXT = 2_000
_PREPARED_QUERIES = 64
"""So many short texts are remembered, parsed: 20 MB at the worst."""
_NAMES_ORGANIZATION = re.compile(r"\borganization\s*:")
"""Another organization than the caller's may have another size."""


class _Outcome(NamedTuple):
    """An answer before it is written."""

    document: dict[str, Any]
    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    row_count: int = 0


class GraphQLEndpoint:
    """The schema at `/graphql`.

    A request reads one snapshot of the store, from its first statement to its last.
    """

    def __init__(self) -> None:
        self._prepared = lru_cache(_PREPARED_QUERIES)(schema.prepare_operation)

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        async with AsyncExitStack() as counted:
            return HoldUntilSent(await self._answer(request, counted), counted.pop_all())

    async def _answer(self, request: Request, counted: AsyncExitStack) -> Response:
        media_type = JSON
        try:
            media_type = negotiate_media_type(listed(request, "accept"))
            result, row_count = await self._execute(request, counted)
            outcome = _executed(result, media_type)._replace(row_count=row_count)
        except UnresolvedOperation as unclear:
            outcome = _Outcome(_invalid(unclear.errors, media_type).document, 400)
        except InvalidDocument as invalid:
            outcome = _invalid(invalid.errors, media_type)
        except ChargebackError as error:
            document = {"errors": [_formatted(error)]}
            outcome = _Outcome(document, error.status, headers_of(error))
        except RequestRefused as refusal:
            told = {"message": str(refusal), "extensions": {"code": "INVALID_QUERY"}}
            outcome = _Outcome({"errors": [told]}, refusal.status, refusal.headers)
        return _written(request, outcome, media_type)

    async def _execute(
        self, request: Request, counted: AsyncExitStack
    ) -> tuple[ExecutionResult, int]:
        """What executing came to, and how many rows it read: a large answer has its room."""
        services = get_app_state(request)
        caller = await authenticate(request)
        asked = await parse_request(request, services.settings.graphql_max_body_bytes)
        counted.enter_context(services.queries.counting(caller.key_id))
        operation = await self._prepare(asked, services.settings)
        observed = observation()
        observed.operation_name, observed.root_field = operation.name, operation.root_field
        if not operation.is_query:
            _insist_on_post(request)
        with noting_forbidden(request, caller):
            require_scopes(operation, caller)
        if "auditLog" in root_field_names(operation):
            await services.audit.flush()  # Its reader sees what was answered before.
        async with (
            _timed(operation, services.settings),
            services.database.snapshot(caller.organization_id) as snapshot,
        ):
            actor = actor_of(request, caller)
            context = Context(
                caller, services.database, snapshot, services.settings, services.now, actor
            )
            await _insist_on_cost(operation, asked, context)
            result = await _noted(request, operation, asked, context)
        if operation.is_query and snapshot.row_count >= _LARGE:
            held = services.answers.taken(
                caller.organization_id, snapshot.row_count * _BYTES_PER_ROW
            )
            await counted.enter_async_context(held)
        return result, snapshot.row_count

    async def _prepare(self, asked: GraphQLRequest, settings: Settings) -> Operation:
        """The operation asked for.

        A short text is remembered, since clients ask the same again; a long one is read in a
        thread, so that others have their turn meanwhile.
        """
        arguments = (asked.query, asked.operationName, _limits(settings))
        introspection = settings.graphql_introspection_enabled
        if len(asked.query) <= _SHORT_TEXT:
            return self._prepared(*arguments, introspection=introspection)
        return await asyncio.to_thread(
            schema.prepare_operation, *arguments, introspection=introspection
        )


async def _noted(
    request: Request, operation: Operation, asked: GraphQLRequest, context: Context
) -> ExecutionResult:
    """Execute an operation, and note for the audit log what came of it."""
    introspection = context.settings.graphql_introspection_enabled
    try:
        result = await schema.execute_operation(
            operation, asked.variables, context, introspection=introspection
        )
    except BaseException:
        note_acts(request, context, UNFINISHED)
        raise
    _note(request, context, result)
    return result


def _note(request: Request, context: Context, result: ExecutionResult) -> None:
    """What is to go into the audit log of what was executed."""
    causes = [_innermost(error) for error in result.errors or ()]
    note_acts(request, context, _code(causes[0]) if causes else OK)
    if any(isinstance(cause, Forbidden) for cause in causes):
        note_forbidden(request, context.caller)


def _code(cause: BaseException) -> str:
    if isinstance(cause, ChargebackError):
        return cause.code
    return "INVALID_QUERY" if isinstance(cause, GraphQLError) else "INTERNAL"


def _limits(settings: Settings) -> QueryLimits:
    return QueryLimits(
        tokens=settings.graphql_max_tokens,
        depth=settings.graphql_max_depth,
        aliases=settings.graphql_max_aliases,
        directives=settings.graphql_max_directives,
    )


def _insist_on_post(request: Request) -> None:
    if request.method != "POST":
        raise RequestRefused(405, "A GET changes nothing: POST a mutation.", {"Allow": "POST"})


@asynccontextmanager
async def _timed(operation: Operation, settings: Settings) -> AsyncIterator[None]:
    """End a query that takes too long; the statement that it waits for is cancelled.

    A mutation is one transaction, which its caller must know to be done or not.
    """
    seconds = settings.graphql_timeout_seconds
    try:
        async with asyncio.timeout(seconds if operation.is_query else None) as patience:
            yield
    except TimeoutError:
        if patience.expired():
            raise QueryTimedOut(seconds) from None
        raise


async def _insist_on_cost(operation: Operation, asked: GraphQLRequest, context: Context) -> None:
    """Most queries pass on an organization of any size: only for others is theirs counted."""
    limit = context.settings.graphql_max_cost
    cost = schema.estimate_cost(operation, asked.variables, LARGEST_SUPPORTED)
    if cost > limit and not _NAMES_ORGANIZATION.search(asked.query):
        sizes = await read_list_sizes(context)
        cost = schema.estimate_cost(operation, asked.variables, sizes)
    observation().cost = cost
    if cost > limit:
        raise QueryTooCostly(limit=limit, value=cost)


def _executed(result: ExecutionResult, media_type: str) -> _Outcome:
    """What executing came to; an error that is of no field kept the operation from starting."""
    errors = result.errors or []
    if result.data is None and not any(error.path for error in errors):
        return _invalid(errors, media_type)
    document: dict[str, Any] = {"data": result.data}
    if errors:
        document["errors"] = [_format_error(error) for error in errors[:MAX_ERRORS]]
    cause = _innermost(errors[0]) if errors else None
    if result.data is None and isinstance(cause, StoreUnavailable):
        # Whoever goes by the status asks again later.
        return _Outcome(document, cause.status, headers_of(cause))
    return _Outcome(document, 200)


def _invalid(errors: Sequence[GraphQLError], media_type: str) -> _Outcome:
    """Nothing was executed; the status says so in the newer media type alone."""
    document = {"errors": [_format_error(error) for error in errors[:MAX_ERRORS]]}
    return _Outcome(document, 400 if media_type == GRAPHQL_JSON else 200)


def _written(request: Request, outcome: _Outcome, media_type: str) -> Response:
    """The response; a large one in pieces, as the event loop would stand still meanwhile."""
    document = {**outcome.document, **_told_as_rest_tells(outcome)}
    headers = {"Vary": "Accept", **outcome.headers}
    if outcome.row_count < _LARGE:
        return Response(dumps(document), outcome.status, headers, media_type)
    chunks, coding = in_turns(pieces(document)), negotiate_encoding(request)
    headers["Vary"] = "Accept, Accept-Encoding"
    if coding is not None:
        chunks, headers["Content-Encoding"] = compress(chunks, coding.packer()), coding.name
    return StreamingResponse(chunks, outcome.status, headers, media_type)


def _told_as_rest_tells(outcome: _Outcome) -> dict[str, Any]:
    """What clients of REST read of a refusal, where GraphQL has room for it beside the errors."""
    if outcome.status == 200:
        return {}
    return {
        "extensions": {"msg": outcome.document["errors"][0]["message"], "code": outcome.status}
    }


def _format_error(error: GraphQLError) -> dict[str, Any]:
    """An error as the client reads it; what we did not foresee says nothing of itself."""
    cause = _innermost(error)
    if isinstance(cause, ChargebackError):
        return _formatted(cause, error)
    if isinstance(cause, GraphQLError):
        message = _shortened(error.message)
        observation().code = "INVALID_QUERY"
        return {**error.formatted, "message": message, "extensions": {"code": "INVALID_QUERY"}}
    log.error("unexpected error in a query", exc_info=cause)
    observation().code = "INTERNAL"
    return {**error.formatted, "message": "Unexpected error.", "extensions": {"code": "INTERNAL"}}


def _shortened(message: str) -> str:
    """Messages repeat what was sent, which may be long, or a key in the wrong place."""
    message = redact_secrets(message)
    if len(message) <= _LONGEST_MESSAGE:
        return message
    half = _LONGEST_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"


def _innermost(error: BaseException) -> BaseException:
    """A bad variable is an error around the scalar's own."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _formatted(cause: ChargebackError, error: GraphQLError | None = None) -> dict[str, Any]:
    observation().code = cause.code
    shown: dict[str, Any] = dict(error.formatted) if error is not None else {}
    extensions = {"code": cause.code, **cause.details}
    return {**shown, "message": str(cause), "extensions": extensions}
