"""What a request to `/graphql` asks for, by the GraphQL-over-HTTP specification."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import orjson
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from app.domain.errors import BodyTooLarge
from app.domain.keys import redact_secrets

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
"""The newer type: its status says whether the query was executed."""

_PARAMETERS = ("query", "operationName", "variables", "extensions")


class RequestRefused(Exception):
    """A request that holds no query that can be read; said to its sender as `INVALID_QUERY`."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(redact_secrets(message))
        self.status = status
        self.headers = headers or {}


class GraphQLRequest(Struct):
    """A query, and what it is to be executed with."""

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815  as the protocol spells it
    extensions: dict[str, Any] | None = None


async def parse_request(request: Request, most_bytes: int) -> GraphQLRequest:
    """The query in a request's address or body.

    Args:
        request: A GET or a POST.
        most_bytes: The largest body that is read.

    Raises:
        BodyTooLarge: It has more bytes.
        RequestRefused: There is none, or in no form that is read.
    """
    if request.method != "POST":
        return _decode(_from_address(request), "The address must have a query")
    _insist_on_plain_json(request)
    body = await _read_body(request, most_bytes)
    if body.lstrip()[:1] == b"[":
        raise RequestRefused(
            400, "A batch of queries is not read: send one JSON object with one query each."
        )
    return _decode(body, 'The body must be one JSON object with "query", a string')


def _insist_on_plain_json(request: Request) -> None:
    """Another site's form cannot send this type; and a packed body would have two sizes."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    if media_type != JSON:
        got = media_type[:100] or "no content type"
        raise RequestRefused(415, f"Send the query as {JSON}; got {got}.")
    charset = dict(_assignments(parameters)).get("charset", "utf-8")
    if charset not in {"utf-8", "utf8"}:
        raise RequestRefused(415, f"Send the query in UTF-8; got {charset[:100]}.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise RequestRefused(415, f"Send the query unpacked; got {encoding[:100]}.")


def _assignments(parameters: str) -> Iterable[tuple[str, str]]:
    """`; charset="UTF-8"; q=1` as pairs, in small letters."""
    for parameter in parameters.lower().split(";"):
        name, _, value = parameter.partition("=")
        yield name.strip(), value.strip().strip('"')


async def _read_body(request: Request, most_bytes: int) -> bytes:
    stated = request.headers.get("content-length", "")
    body = bytearray()
    try:
        if stated.isdecimal() and int(stated) > most_bytes:
            raise _too_large(int(stated), most_bytes)
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise _too_large(len(body), most_bytes)
    except ClientDisconnect:
        raise RequestRefused(400, "The body ended early.") from None
    return bytes(body)


def _too_large(got: int, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"A query may have {most} bytes at the most; got {got} or more. Use fragments and "
        "variables, or ask in several queries (GRAPHQL_MAX_BODY_BYTES sets the limit).",
        limit=most,
        value=got,
    )


def _from_address(request: Request) -> bytes:
    """A query in the address, its variables as JSON; what is empty was not given."""
    document: dict[str, Any] = {}
    for name in _PARAMETERS:
        given = request.query_params.getlist(name)
        if len(given) > 1:
            raise RequestRefused(400, f"{name} must be given once; got {len(given)}.")
        if given and (given[0] or name == "query"):
            document[name] = given[0]
    try:
        for name in document.keys() & {"variables", "extensions"}:
            document[name] = orjson.loads(document[name])
        return orjson.dumps(document)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise RequestRefused(400, f"variables and extensions must be JSON: {error}.") from None


def _decode(document: bytes, expected: str) -> GraphQLRequest:
    try:
        return msgspec.json.decode(document, type=GraphQLRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    raise RequestRefused(400, f"{expected}: {reason}.")


class _Range(NamedTuple):
    """A part of an Accept header: a type, or all that begin so, and how welcome it is."""

    media_type: str
    quality: float

    @classmethod
    def of(cls, text: str) -> "_Range":
        media_type, _, parameters = text.partition(";")
        quality = dict(_assignments(parameters)).get("q", "1")
        try:
            return cls(media_type.strip().lower(), float(quality))
        except ValueError:
            return cls(media_type.strip().lower(), 1)


def negotiate_media_type(accept: str) -> str:
    """The media type that a client would rather have an answer in.

    The newer type must be asked for by its name: whoever takes anything gets what every client
    understands.

    Raises:
        RequestRefused: The client reads neither of the two.
    """
    ranges = [_Range.of(part) for part in (accept or "*/*").split(",") if part.strip()]
    qualities = {each.media_type: each.quality for each in ranges}
    anything = qualities.get("application/*", qualities.get("*/*", qualities.get("*", 0)))
    newer, older = qualities.get(GRAPHQL_JSON, 0), qualities.get(JSON, anything)
    if newer > 0 and newer >= older:
        return GRAPHQL_JSON
    if older > 0:
        return JSON
    if anything > 0 and GRAPHQL_JSON not in qualities:
        return GRAPHQL_JSON
    raise RequestRefused(406, f"Answers are {JSON} or {GRAPHQL_JSON}; accept one of them.")
