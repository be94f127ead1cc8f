"""Security headers on every response."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DEFAULTS = (
    # API responses are not pages, so a browser must not run anything in them.
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With a stricter policy, the forms of our own pages would post `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
_TLS_DEFAULTS = (*_DEFAULTS, (b"strict-transport-security", b"max-age=31536000"))


def add_security_headers(headers: MutableHeaders, scheme: str) -> None:
    """Add the default headers that a response does not set itself."""
    present = {name for name, _ in headers.raw}
    defaults = _TLS_DEFAULTS if scheme == "https" else _DEFAULTS
    headers.raw.extend(header for header in defaults if header[0] not in present)


class SecurityHeaders:
    """Middleware that adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message), scope.get("scheme", "http"))
            await send(message)

        await self._app(scope, receive, send_with_headers)
