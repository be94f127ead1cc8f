"""The sign-in page, which exchanges an API key for a session."""

import html
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.responses import Response

from app.web.static_files import read_page

HOME = "/"
_POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def signin_page(
    message: str | None = None,
    status_code: int = 200,
    extra_headers: Mapping[str, str] = MappingProxyType({}),
    *,
    return_to: str = HOME,
) -> Response:
    """Return the form that posts `key` to /signin.

    Args:
        message: Explains a failed attempt.
        status_code: The status of the response.
        extra_headers: Headers besides the usual ones.
        return_to: The page to open after signing in.
    """
    notice = f'<p class="notice" role="alert">{html.escape(message)}</p>' if message else ""
    page = (
        read_page("signin.html")
        .replace("<!-- message -->", notice)
        .replace("<!-- return_to -->", html.escape(return_to))
    )
    headers = {"content-security-policy": _POLICY, **extra_headers}
    return Response(page, status_code, headers, "text/html; charset=utf-8")


def local_page(address: str) -> str:
    r"""Return an address of this service as it is, and `/` for any other.

    Browsers read `//host` and `/\\host` as addresses of other hosts.
    """
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    is_clean = address.isprintable() and not any(urlsplit(address)[:2]) if is_local else False
    return address if is_clean else HOME
