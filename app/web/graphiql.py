"""GraphiQL and the sign-in page: served whole from here, since most installs have no internet."""

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

from app.web.conditional import is_known
from app.web.middleware.compression import accepted

_FOLDER = Path(__file__).parent / "static"
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".graphql": "text/plain; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_PLAIN_TEXT = "text/plain; charset=utf-8"

# GraphiQL styles elements as it runs, and its stylesheet holds its fonts.
_GRAPHIQL_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_SIGNIN_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class _File(NamedTuple):
    content: bytes
    gzipped: bytes
    digest: str

    @classmethod
    def of(cls, content: bytes) -> "_File":
        # Without the time of compression, so that every worker's bytes and tags are the same.
        gzipped = gzip.compress(content, mtime=0)
        return cls(content, gzipped, hashlib.sha256(content).hexdigest()[:32])


def graphiql_routes() -> list[BaseRoute]:
    """The scripts, styles and icons of both pages, under /static; they need no key."""
    return [Route("/static/{path:path}", _static_file, methods=["GET"], name="static")]


def asks_for_page(request: Request) -> bool:
    """Whether it is a browser that opens /graphql, rather than a client that asks a query."""
    return request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")


async def graphiql_page(request: Request) -> Response:
    """GraphiQL itself, for anybody: nothing is secret but what the session's requests fetch."""
    page = _static("graphiql.html")
    headers = {"content-security-policy": _GRAPHIQL_POLICY, "cache-control": "no-cache"}
    return _answer(request, page, _CONTENT_TYPES[".html"], headers, vary="Accept, Accept-Encoding")


async def signin_page(
    request: Request,  # noqa: ARG001  both pages are called alike
    message: str | None,
    status_code: int = 200,
    further: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The form that posts `key` to /signin; `message` says why the last attempt failed."""
    notice = f'<p class="notice" role="alert">{html.escape(message)}</p>' if message else ""
    page = _static("signin.html").content.decode().replace("<!-- message -->", notice)
    headers = {"content-security-policy": _SIGNIN_POLICY, **further}
    return Response(page, status_code, headers, _CONTENT_TYPES[".html"])


async def _static_file(request: Request) -> Response:
    path = request.path_params["path"]
    if path not in _public_paths():
        raise HTTPException(404)
    # A vendored file's path names its version; our own files are asked for again each time.
    lasting = "public, max-age=31536000, immutable" if path.startswith("vendor/") else "no-cache"
    content_type = _CONTENT_TYPES.get(Path(path).suffix, _PLAIN_TEXT)
    headers = {"cache-control": lasting}
    return _answer(request, _static(path), content_type, headers, vary="Accept-Encoding")


@cache
def _public_paths() -> frozenset[str]:
    """Pages are left out: they go with their own policy."""
    files = (path for path in _FOLDER.rglob("*") if path.is_file() and path.suffix != ".html")
    return frozenset(path.relative_to(_FOLDER).as_posix() for path in files)


@cache
def _static(path: str) -> _File:
    return _File.of((_FOLDER / path).read_bytes())


def _answer(
    request: Request, file: _File, content_type: str, headers: dict[str, str], vary: str
) -> Response:
    gzips = "gzip" in accepted(request)
    tag = f'"{file.digest}-gzip"' if gzips else f'"{file.digest}"'
    headers = headers | {"etag": tag, "vary": vary}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    if gzips:
        headers["content-encoding"] = "gzip"
    return Response(file.gzipped if gzips else file.content, 200, headers, content_type)
