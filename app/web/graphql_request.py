"""Parse GraphQL requests, following the GraphQL-over-HTTP specification."""

import msgspec
import orjson
from msgspec import Struct
from starlette.requests import Request

from app.domain.errors import BodyTooLarge
from app.domain.json_types import JsonObject
from app.domain.keys import redact_secrets
from app.domain.text import normalize_document, normalize_name
from app.web.body import IDENTITY, IncompleteBody, parse_content_encoding, read_body
from app.web.content_type import MediaType, parse_content_type, parse_media_type

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
"""The newer media type. With it, the HTTP status says whether the query was executed."""

_PARAMETERS = ("query", "operationName", "variables", "extensions")


class InvalidRequest(Exception):
    """An HTTP request that contains no readable query; its error code is `INVALID_QUERY`."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(redact_secrets(message))
        self.status = status
        self.headers = headers or {}


class PersistedQueryNotSupported(Exception):
    """A request with the hash of a query instead of the query; clients then send the query."""

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class GraphQLRequest(Struct):
    """A query with its variables."""

    query: str
    variables: JsonObject | None = None
    operationName: str | None = None  # noqa: N815  the protocol's spelling
    extensions: JsonObject | None = None


async def parse_request(request: Request, max_bytes: int) -> GraphQLRequest:
    """Read the query from a request's URL or body.

    Args:
        request: A GET or POST request.
        max_bytes: The maximum size of the body.

    Raises:
        BodyTooLarge: The body exceeds `max_bytes`.
        InvalidRequest: The request contains no query, or not in a supported form.
        PersistedQueryNotSupported: The request names a persisted query.
    """
    if request.method != "POST":
        return _decode(_read_query_parameters(request), "The URL must have a query")
    _require_plain_json(request)
    try:
        body = await read_body(request, max_bytes, lambda size: _too_large(size, max_bytes))
    except IncompleteBody as error:
        raise InvalidRequest(400, str(error)) from None
    if body.lstrip()[:1] == b"[":
        raise InvalidRequest(
            400, "Batched queries are not supported: send one JSON object with one query."
        )
    return _decode(body, 'The body must be one JSON object with "query", a string')


def _require_plain_json(request: Request) -> None:
    """Reject other media types, which cross-site forms can send, and compressed bodies."""
    content_type = parse_content_type(request)
    if content_type.name != JSON:
        got = content_type.name[:100] or "no Content-Type"
        raise InvalidRequest(415, f"Send the query as {JSON}; got {got}.")
    charset = content_type.parameters.get("charset", "utf-8")
    if charset not in {"utf-8", "utf8"}:
        raise InvalidRequest(415, f"Send the query in UTF-8; got {charset[:100]}.")
    encoding = parse_content_encoding(request)
    if encoding != IDENTITY:
        raise InvalidRequest(415, f"Send the query uncompressed; got {encoding[:100]}.")


def _too_large(size: int, max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"A query may have at most {max_bytes} bytes; got {size} or more. Use fragments and "
        "variables, or send several queries (GRAPHQL_MAX_BODY_BYTES sets the limit).",
        limit=max_bytes,
        value=size,
    )


def _read_query_parameters(request: Request) -> bytes:
    """Return the URL's parameters as a JSON object; empty parameters count as missing."""
    document: JsonObject = {}
    for name in _PARAMETERS:
        values = request.query_params.getlist(name)
        if len(values) > 1:
            raise InvalidRequest(400, f"{name} must be given once; got {len(values)}.")
        if values and (values[0] or name == "query"):
            document[name] = values[0]
    try:
        for name in document.keys() & {"variables", "extensions"}:
            document[name] = orjson.loads(document[name])
        return orjson.dumps(document)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise InvalidRequest(400, f"variables and extensions must be JSON: {error}.") from None


class _QueryByHash(Struct):
    extensions: JsonObject
    query: None = None


def _names_persisted_query(document: bytes) -> bool:
    try:
        request = msgspec.json.decode(document, type=_QueryByHash)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return "persistedQuery" in request.extensions


def _decode(document: bytes, expectation: str) -> GraphQLRequest:
    try:
        request = msgspec.json.decode(document, type=GraphQLRequest)
        return request if document.isascii() and b"\\u" not in document else _normalize(request)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    if _names_persisted_query(document):
        raise PersistedQueryNotSupported
    raise InvalidRequest(400, f"{expectation}: {reason}.")


def _normalize(request: GraphQLRequest) -> GraphQLRequest:
    """Normalize the names that the query and its variables contain."""
    request.query = normalize_name(request.query)
    request.variables = normalize_document(request.variables)
    return request


def negotiate_media_type(accept: str) -> str:
    """Return the response's media type for an Accept header.

    The newer type is used only if the client names it; wildcards get the type that every client
    understands.

    Raises:
        InvalidRequest: The client accepts neither of the two types.
    """
    accepted = [parse_media_type(part) for part in (accept or "*/*").split(",") if part.strip()]
    qualities = {media_type.name: _quality(media_type) for media_type in accepted}
    wildcard = qualities.get("application/*", qualities.get("*/*", qualities.get("*", 0)))
    newer, older = qualities.get(GRAPHQL_JSON, 0), qualities.get(JSON, wildcard)
    if newer > 0 and newer >= older:
        return GRAPHQL_JSON
    if older > 0:
        return JSON
    if wildcard > 0 and GRAPHQL_JSON not in qualities:
        return GRAPHQL_JSON
    raise InvalidRequest(406, f"Responses are {JSON} or {GRAPHQL_JSON}: accept one of them.")


def _quality(media_type: MediaType) -> float:
    try:
        return float(media_type.parameters.get("q", "1"))
    except ValueError:
        return 1
