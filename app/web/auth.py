"""Who asks: an API key in the header, or the session that a browser began with one."""

from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.domain.callers import Caller, Scope
from app.domain.errors import ChargebackError, Forbidden, Unauthenticated
from app.web.graphiql import signin_page
from app.web.services import services_of
from resolvers.keys import begin_session, caller_of_key, caller_of_session, end_session

COOKIE = "chargeback_session"
CLIENT_HEADER = "X-Chargeback-Client"
"""What our own page sends: a form of another site cannot."""
_LONGEST_KEY = 4096


async def authenticate(request: Request) -> Caller:
    """The caller of a request.

    Raises:
        Forbidden: The request came with a session, but not from our own page.
        Unauthenticated: No valid key, and no valid session.
    """
    services = services_of(request)
    authorization = request.headers.get("authorization")
    if authorization is not None:
        key = _key_in_header(authorization)
        return await caller_of_key(services.database, key, services.settings, services.now)
    token = request.cookies.get(COOKIE)
    if token is None:
        raise Unauthenticated
    if request.method != "GET" and CLIENT_HEADER not in request.headers:
        raise Forbidden(f"A request with a session must carry the header {CLIENT_HEADER}.")
    return await caller_of_session(services.database, token, services.settings, services.now)


def _key_in_header(authorization: str) -> str:
    """The key, bare as existing clients send it, or after the scheme `Bearer`."""
    scheme, _, credentials = authorization.strip().partition(" ")
    key = credentials if scheme.lower() == "bearer" else authorization
    return key.strip()[:_LONGEST_KEY]


async def sign_in(request: Request) -> Response:
    """Exchange a key for a session, then show GraphiQL."""
    services = services_of(request)
    _insist_on_own_origin(request)
    key = await _key_in_form(request)
    try:
        caller = await caller_of_key(services.database, key, services.settings, services.now)
        caller.require(Scope.REPORT_READ)
    except ChargebackError as refusal:
        return await signin_page(request, _words(refusal), refusal.status)
    lasting = timedelta(hours=services.settings.session_hours)
    token = await begin_session(services.database, caller, lasting=lasting, now=services.now)
    return _with_cookie(request, token, int(lasting.total_seconds()))


async def _key_in_form(request: Request) -> str:
    """The field `key` of a posted form; a form that is longer than any key has none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_KEY:
            return ""
    fields = dict(parse_qsl(body.decode(errors="replace")))
    return fields.get("key", "").strip()


def _words(refusal: ChargebackError) -> str:
    if isinstance(refusal, Unauthenticated):
        return "That is no valid API key. It begins with cbk_ and may have expired."
    return str(refusal)


async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    _insist_on_own_origin(request)
    token = request.cookies.get(COOKIE)
    if token is not None:
        await end_session(services_of(request).database, token)
    return _with_cookie(request, "", 0)


def _insist_on_own_origin(request: Request) -> None:
    """A form of another site must neither sign in nor sign out."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden(f"A form from {origin} cannot sign in or out here.")


def _with_cookie(request: Request, token: str, seconds: int) -> Response:
    response = RedirectResponse("/graphql", status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def show_sign_in(request: Request) -> Response:
    """The form to sign in with."""
    return await signin_page(request, None)


routes = [
    Route("/signin", show_sign_in, methods=["GET"]),
    Route("/signin", sign_in, methods=["POST"]),
    Route("/signout", sign_out, methods=["POST"]),
]
