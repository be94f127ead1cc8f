"""Write SCIM responses: one resource or a list, in SCIM's media type."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.domain.json_types import JsonObject
from app.services.scim.documents import ResourceView, to_document
from app.web.conditional import etag_matches
from app.web.errors import SCIM_MEDIA_TYPE, SCIM_PREFIX
from app.web.scim.requests import ListQuery


class ScimResponse(Response):
    """A response in SCIM's media type; bytes are sent as they are, None is an empty body."""

    media_type = SCIM_MEDIA_TYPE

    def render(self, content: object) -> bytes:
        """Serialize the content."""
        if content is None or isinstance(content, bytes):
            return content or b""
        return orjson.dumps(content)


def base_url(request: Request) -> str:
    """Return the address that all paths of SCIM start with."""
    return f"{request.url.scheme}://{request.url.netloc}{SCIM_PREFIX}"


async def resource_response(
    request: Request, view: ResourceView, query: ListQuery, status: int = 200
) -> Response:
    """Return the response with one resource; empty if the client has this version already."""
    etag = f'W/"{view.stored.version}"'
    if request.method == "GET" and etag_matches(request, etag):
        return ScimResponse(None, 304, {"ETag": etag})
    base = base_url(request)
    location = f"{base}{view.kind.endpoint}/{view.stored.resource_id}"
    headers = {"ETag": etag, "Location": location}
    if status == 204:
        return ScimResponse(None, status, headers)
    [body] = await asyncio.to_thread(_render, [view], query, base)
    return ScimResponse(body, status, headers)


async def list_response(
    request: Request, views: Sequence[ResourceView], query: ListQuery, total: int
) -> Response:
    """Return the response with a part of a list."""
    rendered = await asyncio.to_thread(_render, views, query, base_url(request))
    return ScimResponse(
        list_message([orjson.Fragment(each) for each in rendered], total, query.start)
    )


def list_message(resources: Sequence[Any], total: int, start: int = 1) -> JsonObject:
    """Return a list in the form of RFC 7644, section 3.4.2."""
    return {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }


def _render(views: Sequence[ResourceView], query: ListQuery, base: str) -> list[bytes]:
    return [
        orjson.dumps(query.projection(view.kind).apply(to_document(view, base))) for view in views
    ]
