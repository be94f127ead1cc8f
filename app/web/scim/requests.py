"""Read SCIM requests: list parameters, bodies and the versions that a client expects."""

import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import orjson
from starlette.requests import Request

from app.domain.callers import Caller
from app.domain.errors import BodyTooLarge, UnsupportedMediaType
from app.domain.json_types import JsonObject
from app.domain.scim.errors import InvalidScimRequest, show_value
from app.domain.scim.projection import Projection
from app.domain.scim.resources import KINDS, ResourceKind
from app.services.scim.reads import MAX_RESULTS
from app.web.app_state import get_app_state
from app.web.body import read_body
from app.web.conditional import join_header_lines, parse_etags
from app.web.content_type import parse_content_type
from app.web.errors import SCIM_MEDIA_TYPE, SCIM_PREFIX

_MAX_BODY_BYTES = 10_485_760
_PARSED_SIZE = 8
"""How much more memory a parsed body takes than its bytes."""
_DEFAULT_COUNT = 100
_MAX_NAMES = 1_000


class ListQuery(NamedTuple):
    """Which resources a client wants, and which attributes of each."""

    filter: Any = None
    start: int = 1
    limit: int = _DEFAULT_COUNT
    attributes: Sequence[str] = ()
    excluded: Sequence[str] = ()

    @classmethod
    def from_parameters(cls, request: Request) -> Self:
        """Return the query of a GET request."""
        given = request.query_params
        return cls(
            given.get("filter"),
            _parse_start(given.get("startIndex", "1")),
            _parse_count(given.get("count", str(_DEFAULT_COUNT))),
            given.get("attributes", "").split(","),
            given.get("excludedAttributes", "").split(","),
        )

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Return the query of a search request (RFC 7644, section 3.4.3)."""
        if not isinstance(body, dict):
            raise InvalidScimRequest("The body must be a JSON object.", "invalidSyntax")
        return cls(
            body.get("filter"),
            _parse_start(str(body.get("startIndex", 1))),
            _parse_count(str(body.get("count", _DEFAULT_COUNT))),
            _parse_names(body, "attributes"),
            _parse_names(body, "excludedAttributes"),
        )

    @property
    def selects_attributes(self) -> bool:
        """Whether the client named attributes to show or to leave out."""
        return any(name.strip() for name in (*self.attributes, *self.excluded))

    def projection(self, kind: ResourceKind) -> Projection:
        """Return the attributes to show of a kind."""
        return Projection(kind, self.attributes, self.excluded)


def _parse_start(text: str) -> int:
    return max(_parse_number("startIndex", text), 1)


def _parse_count(text: str) -> int:
    return min(max(_parse_number("count", text), 0), MAX_RESULTS)


def _parse_number(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise InvalidScimRequest(f"{name}: must be a whole number; got {show_value(text)}.")
    return int(text)


def _parse_names(body: JsonObject, name: str) -> Sequence[str]:
    names = body.get(name) or []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise InvalidScimRequest(f"{name}: must be a list of names; got {show_value(names)}.")
    if len(names) > _MAX_NAMES:
        raise InvalidScimRequest(f"{name}: at most {_MAX_NAMES:,} names; got {len(names):,}.")
    return names


def find_kind(request: Request) -> ResourceKind:
    """Return the kind of resource that a path is about."""
    path = request.url.path.removeprefix(SCIM_PREFIX)
    return next(kind for endpoint, kind in KINDS.items() if path.startswith(endpoint))


def expected_versions(request: Request) -> Collection[str] | None:
    """Return the versions that `If-Match` names; None if it is missing or any version will do."""
    stated = join_header_lines(request, "if-match").strip()
    if stated in {"", "*"}:
        return None
    return {tag.strip('"') for tag in parse_etags(request, "if-match")} or {stated}


@asynccontextmanager
async def parsed_body(request: Request, caller: Caller) -> AsyncIterator[Any]:
    """Read the JSON of a request, and hold its share of the memory for bodies meanwhile.

    Raises:
        BodyTooLarge: The body has more than 10 MiB.
        InvalidScimRequest: It is not JSON.
        UnsupportedMediaType: It has another media type.
    """
    name = parse_content_type(request).name
    if name not in {SCIM_MEDIA_TYPE, "application/json"}:
        allowed = f"{SCIM_MEDIA_TYPE} or application/json"
        raise UnsupportedMediaType(f"Content-Type must be {allowed}; got {name or 'none'}.")
    async with get_app_state(request).body_memory.hold(caller.organization_id) as memory:
        body = await read_body(
            request,
            _MAX_BODY_BYTES,
            _too_large,
            reserve=lambda size: memory.grow(_PARSED_SIZE * size),
        )
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            message = f"The body is not valid JSON: {error}."
            raise InvalidScimRequest(message, "invalidSyntax") from None
        yield document


def _too_large(_: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body may have at most {_MAX_BODY_BYTES} bytes.")
