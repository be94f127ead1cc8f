"""GraphQL over HTTP: mounts the schema, builds each request's context, gives errors codes."""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from graphql import ExecutionResult, GraphQLError
from starlette.requests import Request
from starlette.responses import Response

from app.domain.errors import ChargebackError
from app.web.asked import (
    GRAPHQL_JSON,
    JSON,
    RequestRefused,
    answer_type,
    read_asked,
)
from app.web.auth import authenticate
from app.web.errors import headers_of
from app.web.logs import log
from app.web.services import services_of
from resolvers.context import Context
from schema import schema
from schema.operations import MOST_ERRORS, InvalidDocument, UnclearOperation

LARGEST_BODY_BYTES = 1_000_000
_PACKED_FROM_BYTES = 100_000
_LONGEST_MESSAGE = 400


class _Outcome(NamedTuple):
    """An answer before it is written."""

    document: dict[str, Any]
    status: int
    headers: Mapping[str, str] = MappingProxyType({})


class GraphQLEndpoint:
    """The schema at `/graphql`.

    A request reads one snapshot of the store, from its first statement to its last.
    """

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        media_type = JSON
        try:
            media_type = answer_type(request.headers.get("accept"))
            outcome = _executed(await self._execute(request), media_type)
        except UnclearOperation as unclear:
            outcome = _Outcome(_invalid(unclear.errors, media_type).document, 400)
        except InvalidDocument as invalid:
            outcome = _invalid(invalid.errors, media_type)
        except ChargebackError as error:
            document = {"errors": [_formatted(error)]}
            outcome = _Outcome(document, error.status, headers_of(error))
        except RequestRefused as refusal:
            extensions = {"code": "INVALID_QUERY", **refusal.details}
            document = {"errors": [{"message": str(refusal), "extensions": extensions}]}
            outcome = _Outcome(document, refusal.status, refusal.headers)
        return await _written(request, outcome, media_type)

    async def _execute(self, request: Request) -> ExecutionResult:
        services = services_of(request)
        caller = await authenticate(request)
        asked = await read_asked(request, LARGEST_BODY_BYTES)
        introspection = services.settings.graphql_introspection_enabled
        operation = schema.prepare(asked.query, asked.operationName, introspection=introspection)
        if request.method != "POST" and not operation.is_query:
            raise RequestRefused(405, "A GET changes nothing: POST a mutation.", {"Allow": "POST"})
        async with services.database.snapshot(caller.organization_id) as snapshot:
            context = Context(caller, services.database, snapshot, services.settings, services.now)
            return await schema.execute_prepared(
                operation, asked.variables, context, introspection=introspection
            )


def _executed(result: ExecutionResult, media_type: str) -> _Outcome:
    """What executing came to; an error that is of no field kept the operation from starting."""
    errors = result.errors or []
    if result.data is None and not any(error.path for error in errors):
        return _invalid(errors, media_type)
    document: dict[str, Any] = {"data": result.data}
    if errors:
        document["errors"] = [_format_error(error) for error in errors[:MOST_ERRORS]]
    return _Outcome(document, 200)


def _invalid(errors: Sequence[GraphQLError], media_type: str) -> _Outcome:
    """Nothing was executed; the status says so in the newer media type alone."""
    document = {"errors": [_format_error(error) for error in errors[:MOST_ERRORS]]}
    return _Outcome(document, 400 if media_type == GRAPHQL_JSON else 200)


async def _written(request: Request, outcome: _Outcome, media_type: str) -> Response:
    """The response; a large one gzipped, in a thread: the event loop would stand still."""
    body, headers = orjson.dumps(outcome.document), {"Vary": "Accept", **outcome.headers}
    accepted = request.headers.get("accept-encoding", "")
    if len(body) >= _PACKED_FROM_BYTES and "gzip" in accepted:
        body = await asyncio.to_thread(gzip.compress, body, compresslevel=1)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
    return Response(body, outcome.status, headers, media_type)


def _format_error(error: GraphQLError) -> dict[str, Any]:
    """An error as the client reads it; what we did not foresee says nothing of itself."""
    cause = _innermost(error)
    if isinstance(cause, ChargebackError):
        return _formatted(cause, error)
    if isinstance(cause, GraphQLError):
        message = _shortened(error.message)
        return {**error.formatted, "message": message, "extensions": {"code": "INVALID_QUERY"}}
    log.error("unexpected error in a query", exc_info=cause)
    return {**error.formatted, "message": "Unexpected error.", "extensions": {"code": "INTERNAL"}}


def _shortened(message: str) -> str:
    """Messages repeat what was sent, which may be long."""
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
    shown: dict[str, Any] = dict(error.formatted) if error is not None else {}
    return {**shown, "message": str(cause), "extensions": {"code": cause.code}}
