"""Authentication: by an API key in the Authorization header, or by a browser session."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from functools import update_wrapper
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.domain.audit import Actor
from app.domain.callers import Caller, Scope
from app.domain.errors import (
    BodyTooLarge,
    ChargebackError,
    Forbidden,
    TooManyFailedAttempts,
    Unauthenticated,
)
from app.domain.keys import KeyText
from app.observability.request_record import get_current_record
from app.services.sessions import (
    authenticate_key,
    authenticate_session,
    end_session,
    start_session,
)
from app.web.app_state import get_app_state
from app.web.audit import (
    client_address,
    record_bad_key,
    record_forbidden,
    request_actor,
    request_interface,
)
from app.web.body import read_body
from app.web.errors import error_headers
from app.web.limits.auth_throttle import MAX_FAILURES, client_network
from app.web.limits.concurrency import HoldUntilSent
from app.web.query_params import require_known_params
from app.web.signin import HOME, local_page, signin_page

SESSION_COOKIE = "chargeback_session"
SECURE_SESSION_COOKIE = f"__Host-{SESSION_COOKIE}"
"""Its name over TLS. Browsers accept the prefix only from this very host, over TLS."""
_SESSION_TOKENS = {
    name: re.compile(rf"(?:^|;) *{name}=([0-9A-Za-z_-]{{1,100}}) *(?:;|$)")
    for name in (SESSION_COOKIE, SECURE_SESSION_COOKIE)
}
CLIENT_HEADER = "X-Chargeback-Client"
"""A header that our own page sends and a cross-site form cannot, which prevents CSRF."""
_MAX_KEY_LENGTH = 4096
_MAX_FORM_LENGTH = 2 * _MAX_KEY_LENGTH
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class AuthenticatedRoute(Route):
    """A route that requires an API key or a session with a scope.

    Args:
        path: As for `Route`.
        endpoint: Called with the request and its caller.
        scope: The required scope. A test checks that every route declares one.
        methods: As for `Route`.
        parameters: The query parameters, each of which may be given once; others are refused.
        ignores_other_parameters: Refuse other parameters only if they look like misspellings.
        is_query: Whether requests count towards the key's concurrent queries. Ingestion does
            not: its batches share commits, so it is faster with more of them, and it has its own
            limits.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request, Caller], Awaitable[Response]],
        *,
        scope: Scope,
        methods: Sequence[str] = ("GET",),
        parameters: Collection[str] = (),
        ignores_other_parameters: bool = False,
        is_query: bool = True,
    ) -> None:
        async def authenticated_endpoint(request: Request) -> Response:
            caller = await authenticate(request)
            with audit_forbidden(request, caller):
                caller.require(scope)
                require_known_params(request, parameters, ignores_others=ignores_other_parameters)
                async with AsyncExitStack() as resources:
                    if is_query:
                        query_limit = get_app_state(request).query_limit
                        resources.enter_context(query_limit.slot(caller.key_id))
                    return HoldUntilSent(await endpoint(request, caller), resources.pop_all())

        # Metrics and logs label requests with the endpoint's name.
        update_wrapper(authenticated_endpoint, endpoint)
        super().__init__(path, authenticated_endpoint, methods=methods)
        self.scope = scope


@contextmanager
def audit_forbidden(request: Request, caller: Caller) -> Iterator[None]:
    """Record in the audit log if the block raises `Forbidden`."""
    try:
        yield
    except Forbidden:
        record_forbidden(request, caller)
        raise


async def authenticate(request: Request) -> Caller:
    """Return the caller of a request.

    Raises:
        Forbidden: The request has a session, but was not sent by our own page.
        TooManyFailedAttempts: The key is bad, and the client's network already sent many bad keys.
        Unauthenticated: The request has neither a valid key nor a valid session.
    """
    caller = await _find_caller(request)
    record = get_current_record()
    record.key_id, record.organization = caller.key_id, caller.organization
    return caller


async def _find_caller(request: Request) -> Caller:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await _authenticate_key(request, _parse_authorization(authorization))
    token = _read_session_cookie(request)
    if token is None:
        raise Unauthenticated
    return await _authenticate_session(request, token)


def _cookie_name(request: Request) -> str:
    return SECURE_SESSION_COOKIE if request.url.scheme == "https" else SESSION_COOKIE


def _read_session_cookie(request: Request) -> str | None:
    """Return the session's token, without Python's parser, which is quadratic (CVE-2024-7592)."""
    pattern = _SESSION_TOKENS[_cookie_name(request)]
    match = pattern.search("; ".join(request.headers.getlist("cookie")))
    return match[1] if match else None


async def _authenticate_session(request: Request, token: str) -> Caller:
    state = get_app_state(request)
    caller = await authenticate_session(state.database, token, state.settings, state.now)
    if request.method not in _SAFE_METHODS and CLIENT_HEADER not in request.headers:
        record_forbidden(request, caller)
        raise Forbidden(f"A request with a session must have the header {CLIENT_HEADER}.")
    return caller


async def _authenticate_key(request: Request, key: str) -> Caller:
    state = get_app_state(request)
    digest = hashlib.sha256(key.encode(errors="replace")).digest()
    network, now = client_network(client_address(request)), state.now
    throttle = state.auth_throttle
    retry_after = throttle.retry_after(network, now)
    # A key with a bad checksum needs no lookup, so it does not use up the network's lookups.
    if (
        retry_after is not None
        and KeyText.parse(key) is not None
        and not await throttle.wait_for_turn(network, digest)
    ):
        raise TooManyFailedAttempts(retry_after)
    try:
        caller = await authenticate_key(state.key_loader, key, state.settings, now)
    except Unauthenticated as refusal:
        raise _count_bad_key(request, network, refusal) from None
    throttle.record_success(digest)
    return caller


def _count_bad_key(request: Request, network: str, refusal: Unauthenticated) -> ChargebackError:
    """Count a bad key and return the error to raise.

    Once the network is throttled, only its first bad key goes into the audit log.
    """
    state = get_app_state(request)
    count = state.auth_throttle.record_failure(network, state.now)
    retry_after = state.auth_throttle.retry_after(network, state.now)
    error = refusal if retry_after is None else TooManyFailedAttempts(retry_after)
    if count <= MAX_FAILURES + 1:
        record_bad_key(request, refusal, error)
    return error


def _parse_authorization(authorization: str) -> str:
    """Return the key, which existing clients send bare and others after `Bearer`."""
    scheme, _, credentials = authorization.strip().partition(" ")
    key = credentials if scheme.lower() == "bearer" else authorization
    return key.strip()[:_MAX_KEY_LENGTH]


async def sign_in(request: Request) -> Response:
    """Exchange an API key for a session, then redirect to the page that needed it."""
    state = get_app_state(request)
    _require_same_origin(request)
    form = await _read_form(request)
    key, return_to = form.get("key", "").strip(), local_page(form.get("next", HOME))
    try:
        caller = await _authenticate_key(request, key)
        with audit_forbidden(request, caller):
            caller.require(Scope.STATEMENT_READ)
    except ChargebackError as error:
        return signin_page(
            _format_signin_error(error), error.status, error_headers(error), return_to=return_to
        )
    lifetime = timedelta(hours=state.settings.session_lifetime_hours)
    actor = request_actor(request, caller)
    token = await start_session(state.database, caller, lasting=lifetime, now=state.now, by=actor)
    return _redirect_with_cookie(request, return_to, token, int(lifetime.total_seconds()))


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of the sign-in form; none if it is longer than a key and an address."""
    try:
        body = await read_body(request, _MAX_FORM_LENGTH, lambda _: BodyTooLarge())
    except BodyTooLarge:
        return {}
    return dict(parse_qsl(body.decode(errors="replace")))


def _format_signin_error(error: ChargebackError) -> str:
    if isinstance(error, Unauthenticated):
        return "This is not a valid API key. Keys start with cbk_ and may expire."
    return str(error)


async def sign_out(request: Request) -> Response:
    """End the browser's session."""
    _require_same_origin(request)
    token = _read_session_cookie(request)
    if token is not None:
        state = get_app_state(request)
        actor = Actor(None, request_interface(request), address=client_address(request))
        await end_session(state.database, token, now=state.now, by=actor)
    return _redirect_with_cookie(request, "/signin", "", 0)


def _require_same_origin(request: Request) -> None:
    """Reject forms of other sites, which must neither sign in nor sign out."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Forbidden(f"Forms of the site {origin[:100]} cannot sign in or out here.")


def _redirect_with_cookie(request: Request, address: str, token: str, max_age: int) -> Response:
    response = RedirectResponse(address, status_code=303)
    response.set_cookie(
        _cookie_name(request),
        token,
        max_age=max_age,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def show_sign_in(request: Request) -> Response:
    """Show the sign-in form; the parameter `next` names the page to open afterwards."""
    return signin_page(return_to=local_page(request.query_params.get("next", HOME)))


routes = [
    Route("/signin", show_sign_in, methods=["GET"]),
    Route("/signin", sign_in, methods=["POST"]),
    Route("/signout", sign_out, methods=["POST"]),
]
