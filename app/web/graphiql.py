"""GraphiQL and the sign-in page, served without external files for installs without internet."""

import gzip
import hashlib
import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.web.conditional import etag_matches
from app.web.middleware.compression import accepted_encodings

_STATIC_FOLDER = Path(__file__).parent / "static"
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".graphql": "text/plain; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_PLAIN_TEXT = "text/plain; charset=utf-8"

# GraphiQL sets inline styles, and its stylesheet embeds its fonts.
_GRAPHIQL_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_SIGNIN_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class _StaticFile(NamedTuple):
    content: bytes
    gzipped: bytes
    digest: str

    @classmethod
    def create(cls, content: bytes) -> "_StaticFile":
        # Without a timestamp, every process produces the same bytes and ETags.
        gzipped = gzip.compress(content, mtime=0)
        return cls(content, gzipped, hashlib.sha256(content).hexdigest()[:32])


def graphiql_routes() -> list[BaseRoute]:
    """Return the routes of scripts, styles and icons under /static; they need no key."""
    return [Route("/static/{path:path}", _static_file, methods=["GET"], name="static")]


def accepts_page(request: Request) -> bool:
    """Return whether a browser opens /graphql as a page, as opposed to an API client."""
    return request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")


async def graphiql_page(request: Request) -> Response:
    """Return the GraphiQL page. It contains no data; its queries need a session."""
    page = _read_static_file("graphiql.html")
    headers = {"content-security-policy": _GRAPHIQL_POLICY, "cache-control": "no-cache"}
    return _file_response(
        request, page, _CONTENT_TYPES[".html"], headers, vary="Accept, Accept-Encoding"
    )


async def signin_page(
    request: Request,  # noqa: ARG001  same signature as the other page
    message: str | None,
    status_code: int = 200,
    extra_headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Return the form that posts `key` to /signin; `message` explains a failed attempt."""
    notice = f'<p class="notice" role="alert">{html.escape(message)}</p>' if message else ""
    template = _read_static_file("signin.html").content.decode()
    headers = {"content-security-policy": _SIGNIN_POLICY, **extra_headers}
    page = template.replace("<!-- message -->", notice)
    return Response(page, status_code, headers, _CONTENT_TYPES[".html"])


async def _static_file(request: Request) -> Response:
    path = request.path_params["path"]
    if path not in _public_paths():
        raise HTTPException(404)
    # The path of a vendored file contains its version; our own files must be revalidated.
    is_vendored = path.startswith("vendor/")
    cache_control = "public, max-age=31536000, immutable" if is_vendored else "no-cache"
    content_type = _CONTENT_TYPES.get(Path(path).suffix, _PLAIN_TEXT)
    headers = {"cache-control": cache_control}
    return _file_response(
        request, _read_static_file(path), content_type, headers, vary="Accept-Encoding"
    )


@cache
def _public_paths() -> frozenset[str]:
    """Return the paths of all files except pages, which need their own security policy."""
    files = (
        path for path in _STATIC_FOLDER.rglob("*") if path.is_file() and path.suffix != ".html"
    )
    return frozenset(path.relative_to(_STATIC_FOLDER).as_posix() for path in files)


@cache
def _read_static_file(path: str) -> _StaticFile:
    return _StaticFile.create((_STATIC_FOLDER / path).read_bytes())


def _file_response(
    request: Request, file: _StaticFile, content_type: str, headers: dict[str, str], vary: str
) -> Response:
    is_gzipped = "gzip" in accepted_encodings(request)
    etag = f'"{file.digest}-gzip"' if is_gzipped else f'"{file.digest}"'
    headers = headers | {"etag": etag, "vary": vary}
    if etag_matches(request, etag):
        return Response(status_code=304, headers=headers)
    if is_gzipped:
        headers["content-encoding"] = "gzip"
    content = file.gzipped if is_gzipped else file.content
    return Response(content, 200, headers, content_type)
