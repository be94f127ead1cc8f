"""GraphQL over HTTP: mounts the schema, builds each request's context, gives errors codes."""

import asyncio
import gzip
from typing import Any

import msgspec
import orjson
from cross_web import HTTPException
from graphql import GraphQLError
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.types import ExecutionResult

from app.domain.errors import ChargebackError
from app.web.auth import authenticate
from app.web.errors import JsonResponse, headers_of
from app.web.logs import log
from app.web.services import services_of
from resolvers.context import Context
from schema import schema

LARGEST_BODY_BYTES = 1_000_000
_PACKED_FROM_BYTES = 100_000
MOST_ERRORS = 5
"""An answer lists no more errors: a thousand leaves that fail alike say the same once."""


class _Body(Struct):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815  as the protocol spells it
    extensions: dict[str, Any] | None = None


class GraphQLEndpoint(GraphQL[Context, None]):
    """The schema at `/graphql`.

    A request reads one snapshot of the store, from its first statement to its last.
    """

    def __init__(self) -> None:
        super().__init__(schema, graphql_ide=None, subscription_protocols=())

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        services = services_of(request)
        try:
            caller = await authenticate(request)
            async with services.database.snapshot() as snapshot:
                context = Context(
                    caller, services.database, snapshot, services.settings, services.now
                )
                response = await self.run(request, context=context)
            return await _packed(request, response)
        except ChargebackError as error:
            body = {"errors": [_formatted(error, str(error))]}
            return JsonResponse(body, error.status, headers_of(error))
        except HTTPException as refusal:
            refused = GraphQLError(refusal.reason, extensions={"code": "INVALID_QUERY"})
            return JsonResponse({"errors": [refused.formatted]}, refusal.status_code)

    async def parse_http_body(self, request: Any) -> GraphQLRequestData:
        """The operation that a request asks for.

        Raises:
            HTTPException: It is none, or too large.
        """
        if request.method == "GET":
            return _operation(_from_parameters(dict(request.query_params)))
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise HTTPException(
                415, f"Send the query as application/json; got {media_type or 'no content type'}."
            )
        return _operation(await _read_body(request))

    async def process_result(
        self,
        request: Request,  # noqa: ARG002  the base class's signature
        result: ExecutionResult,
    ) -> GraphQLHTTPResponse:
        """The response's document."""
        document = GraphQLHTTPResponse(data=result.data)
        if result.errors:
            document["errors"] = [_format_error(error) for error in result.errors[:MOST_ERRORS]]
        return document

    def encode_json(self, data: object) -> bytes:
        """Write the response."""
        return orjson.dumps(data)


async def _packed(request: Request, response: Response) -> Response:
    """A large answer gzipped in a thread: the event loop would stand still for as long."""
    accepted = request.headers.get("accept-encoding", "")
    if len(response.body) < _PACKED_FROM_BYTES or "gzip" not in accepted:
        return response
    packed = await asyncio.to_thread(gzip.compress, response.body, compresslevel=1)
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(packed, response.status_code, headers, response.media_type)


async def _read_body(request: Any) -> bytes:
    body = await request.get_body()
    if len(body) > LARGEST_BODY_BYTES:
        raise HTTPException(
            413, f"A query may have {LARGEST_BODY_BYTES} bytes at the most; got {len(body)}."
        )
    return bytes(body)


def _from_parameters(parameters: dict[str, Any]) -> bytes:
    """A query in the address, its variables as JSON."""
    document: dict[str, Any] = {
        key: parameters[key] for key in ("query", "operationName") if key in parameters
    }
    try:
        for key in ("variables", "extensions"):
            if parameters.get(key):
                document[key] = orjson.loads(parameters[key])
        return orjson.dumps(document)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise HTTPException(400, f"variables and extensions must be JSON: {error}.") from None


def _operation(body: bytes) -> GraphQLRequestData:
    try:
        asked = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HTTPException(
            400, f'The body must be one JSON object with "query", a string: {reason}.'
        ) from None
    return GraphQLRequestData(
        query=asked.query,
        variables=asked.variables,
        operation_name=asked.operationName,
        extensions=asked.extensions,
    )


def _format_error(error: GraphQLError) -> dict[str, Any]:
    """An error as the client reads it; what we did not foresee says nothing of itself."""
    cause = _innermost(error)
    if isinstance(cause, ChargebackError):
        return _formatted(cause, str(cause), error)
    if isinstance(cause, GraphQLError):
        return {**error.formatted, "extensions": {"code": "INVALID_QUERY"}}
    log.error("unexpected error in a query", exc_info=cause)
    return {**error.formatted, "message": "Unexpected error.", "extensions": {"code": "INTERNAL"}}


def _innermost(error: BaseException) -> BaseException:
    """A bad variable is an error around the scalar's own."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _formatted(
    cause: ChargebackError, message: str, error: GraphQLError | None = None
) -> dict[str, Any]:
    shown: dict[str, Any] = dict(error.formatted) if error is not None else {}
    return {**shown, "message": message, "extensions": {"code": cause.code}}
