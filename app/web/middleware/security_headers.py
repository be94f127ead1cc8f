"""What every answer says to browsers, and whose word is taken for where a request came from."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DEFAULTS = {
    # What is no page of ours is to run nothing, whatever a browser takes it for.
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # A stricter one would make the forms of our pages post `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_TLS_DEFAULTS = {"strict-transport-security": "max-age=31536000"}


def secure_headers(headers: MutableHeaders, scheme: str) -> None:
    """Add what an answer does not say itself."""
    for name, value in (_DEFAULTS | (_TLS_DEFAULTS if scheme == "https" else {})).items():
        headers.setdefault(name, value)


class SecurityHeaders:
    """Adds the headers to every answer of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure_headers(MutableHeaders(scope=message), scope.get("scheme", "http"))
            await send(message)

        await self._app(scope, receive, send_secured)
