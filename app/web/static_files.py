"""Scripts, styles, fonts and HTML pages of the package, served without external files."""

import gzip
import hashlib
from functools import cache
from pathlib import Path
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
    ".woff2": "font/woff2",
}
_PLAIN_TEXT = "text/plain; charset=utf-8"


class _StaticFile(NamedTuple):
    content: bytes
    gzipped: bytes
    digest: str

    @classmethod
    def create(cls, content: bytes) -> "_StaticFile":
        # Without a timestamp, every process produces the same bytes and ETags.
        gzipped = gzip.compress(content, mtime=0)
        return cls(content, gzipped, hashlib.sha256(content).hexdigest()[:32])


def static_routes() -> list[BaseRoute]:
    """Return the route of all files except pages, under /static; it needs no key."""
    return [Route("/static/{path:path}", _static_file, methods=["GET"], name="static")]


def read_page(name: str) -> str:
    """Return the HTML of a page."""
    return _read_static_file(name).content.decode()


def page_response(
    request: Request, name: str, security_policy: str, *, vary: str = "Accept-Encoding"
) -> Response:
    """Return an HTML page. It contains no data, so browsers may keep it if they revalidate it."""
    headers = {"content-security-policy": security_policy, "cache-control": "no-cache"}
    return _file_response(
        request, _read_static_file(name), _CONTENT_TYPES[".html"], headers, vary=vary
    )


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
