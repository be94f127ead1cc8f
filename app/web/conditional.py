"""Conditional requests: entity tags in If-Match and If-None-Match (RFC 9110, section 13.1)."""

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

_ETAG = re.compile(r'(?:W/)?("[^"]*")')
_ANY = "*"


def join_header_lines(request: Request, header: str) -> str:
    """Return a list header as one line; "" if the request does not have it."""
    return ", ".join(request.headers.getlist(header))


def parse_etags(request: Request, header: str) -> frozenset[str]:
    """Return the entity tags in a header, quoted and without `W/`; `*` alone stands for any.

    Invalid elements are ignored. A comma or a `*` within quotes belongs to the tag.
    """
    value = join_header_lines(request, header).strip()
    return frozenset({_ANY} if value == _ANY else _ETAG.findall(value))


def etag_matches(request: Request, etag: str) -> bool:
    """Return whether the client has the representation with this tag, by weak comparison."""
    return bool(parse_etags(request, "if-none-match") & {etag.removeprefix("W/"), _ANY})


def response_headers(tag: str, encoding: str | None, *, is_closed: bool) -> dict[str, str]:
    """Return the headers; a strong ETag differs for each encoding of the same document."""
    freshness = "immutable, max-age=31536000" if is_closed else "no-cache"
    headers = {
        "ETag": f'"{tag}-{encoding}"' if encoding else f'"{tag}"',
        "Cache-Control": f"private, {freshness}",
        "Vary": "Accept-Encoding",
    }
    return {**headers, "Content-Encoding": encoding} if encoding else headers


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return the response to a client that has this representation."""
    sent = {name: value for name, value in headers.items() if name != "Content-Encoding"}
    return Response(status_code=304, headers=sent)
