"""Who asks: an API key in the header, or the session that a browser began with one."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from functools import update_wrapper
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.domain.audit import Actor
from app.domain.callers import Caller, Scope
from app.domain.errors import ChargebackError, Forbidden, TooManyFailedAttempts, Unauthenticated
from app.domain.keys import KeyText
from app.observability.request_record import observation
from app.services.sessions import (
    authenticate_key,
    authenticate_session,
    end_session,
    start_session,
)
from app.web.app_state import get_app_state
from app.web.audit import actor_of, address_of, door_of, note_bad_key, note_forbidden
from app.web.errors import headers_of
from app.web.graphiql import signin_page
from app.web.limits.auth_throttle import MOST_BAD_KEYS, client_network
from app.web.limits.concurrency import HoldUntilSent

COOKIE = "chargeback_session"
CLIENT_HEADER = "X-Chargeback-Client"
"""What our own page sends: a form of another site cannot."""
_LONGEST_KEY = 4096


class AuthenticatedRoute(Route):
    """A route for callers whose key has a scope; the one way to have a caller.

    Args:
        path: As for `Route`.
        endpoint: Takes the request and its caller.
        scope: What the key must be good for; a test insists that each route says it.
        methods: As for `Route`.
        is_query: Whether a key has so many of its requests at a time; the feed, whose batches are
            the faster the more come together, has bounds of its own.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request, Caller], Awaitable[Response]],
        *,
        scope: Scope,
        methods: Sequence[str] = ("GET",),
        is_query: bool = True,
    ) -> None:
        async def guarded(request: Request) -> Response:
            caller = await authenticate(request)
            with noting_forbidden(request, caller):
                caller.require(scope)
                async with AsyncExitStack() as counted:
                    if is_query:
                        queries = get_app_state(request).queries
                        counted.enter_context(queries.counting(caller.key_id))
                    return HoldUntilSent(await endpoint(request, caller), counted.pop_all())

        # What is observed of its requests goes by the endpoint's own name.
        update_wrapper(guarded, endpoint)
        super().__init__(path, guarded, methods=methods)
        self.scope = scope


@contextmanager
def noting_forbidden(request: Request, caller: Caller) -> Iterator[None]:
    """A refusal within the block goes into the audit log."""
    try:
        yield
    except Forbidden:
        note_forbidden(request, caller)
        raise


async def authenticate(request: Request) -> Caller:
    """The caller of a request.

    Raises:
        Forbidden: The request came with a session, but not from our own page.
        TooManyFailedAttempts: The key is bad, as were many before it from the same place.
        Unauthenticated: No valid key, and no valid session.
    """
    caller = await _caller(request)
    observed = observation()
    observed.key_id, observed.organization = caller.key_id, caller.organization
    return caller


async def _caller(request: Request) -> Caller:
    services = get_app_state(request)
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await _caller_of_key(request, _key_in_header(authorization))
    token = request.cookies.get(COOKIE)
    if token is None:
        raise Unauthenticated
    caller = await authenticate_session(services.database, token, services.settings, services.now)
    if request.method not in _SAFE_METHODS and CLIENT_HEADER not in request.headers:
        note_forbidden(request, caller)
        raise Forbidden(f"A request with a session must carry the header {CLIENT_HEADER}.")
    return caller


_SAFE_METHODS = frozenset({"GET", "HEAD"})


async def _caller_of_key(request: Request, key: str) -> Caller:
    services = get_app_state(request)
    digest = hashlib.sha256(key.encode(errors="replace")).digest()
    place, now = client_network(address_of(request)), services.now
    wait = services.guesses.wait(place, now)
    # What has a wrong checksum asks the store nothing, and takes nobody's turn.
    is_key = KeyText.parse(key) is not None
    if wait is not None and is_key and not services.guesses.may_ask(place, digest, now):
        raise TooManyFailedAttempts(wait)
    try:
        caller = await authenticate_key(services.key_holders, key, services.settings, now)
    except Unauthenticated as refusal:
        raise _refused(request, place, refusal) from None
    services.guesses.note_good(digest)
    return caller


def _refused(request: Request, place: str, refusal: Unauthenticated) -> ChargebackError:
    """A bad key is counted and noted; of those too many only the first is noted."""
    services = get_app_state(request)
    count = services.guesses.note_bad(place, services.now)
    wait = services.guesses.wait(place, services.now)
    error = refusal if wait is None else TooManyFailedAttempts(wait)
    if count <= MOST_BAD_KEYS + 1:
        note_bad_key(request, refusal, error)
    return error


def _key_in_header(authorization: str) -> str:
    """The key, bare as existing clients send it, or after the scheme `Bearer`."""
    scheme, _, credentials = authorization.strip().partition(" ")
    key = credentials if scheme.lower() == "bearer" else authorization
    return key.strip()[:_LONGEST_KEY]


async def sign_in(request: Request) -> Response:
    """Exchange a key for a session, then show GraphiQL."""
    services = get_app_state(request)
    _insist_on_own_origin(request)
    key = await _key_in_form(request)
    try:
        caller = await _caller_of_key(request, key)
        with noting_forbidden(request, caller):
            caller.require(Scope.REPORT_READ)
    except ChargebackError as refusal:
        return await signin_page(request, _words(refusal), refusal.status, headers_of(refusal))
    lasting = timedelta(hours=services.settings.session_lifetime_hours)
    actor = actor_of(request, caller)
    token = await start_session(
        services.database, caller, lasting=lasting, now=services.now, by=actor
    )
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
        services = get_app_state(request)
        nobody = Actor(None, door_of(request), address=address_of(request))
        await end_session(services.database, token, now=services.now, by=nobody)
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
