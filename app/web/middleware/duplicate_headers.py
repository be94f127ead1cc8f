"""Headers that say who asks, and whom: given once, or the request is refused.

A proxy before the service may go by the first of two, and the service by the other. So neither is
gone by. HTTP/1.1 wants one Host, no more and no fewer (RFC 9112, section 3.2).
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.errors import InvalidArgument
from app.web.errors import refuse

_ONCE = ("Host", "Authorization", "Content-Type")


class RejectDuplicateHeaders:
    """Middleware that refuses what is ambiguous."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            response = await refuse(Request(scope), refusal)
            await response(scope, receive, send)


def _refusal(scope: Scope) -> InvalidArgument | None:
    headers = Headers(scope=scope)
    counts = {name: len(headers.getlist(name)) for name in _ONCE}
    for name, count in counts.items():
        if count > 1:
            return InvalidArgument(f"The header {name} must be given once; got {count}.")
    if not counts["Host"] and scope["http_version"] == "1.1":
        return InvalidArgument("The header Host must be given, as HTTP/1.1 has it.")
    return None
