"""For whoever runs the service: is it alive, is it ready, what does it count?"""

import hmac

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.db.migrations import is_behind
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import Forbidden, StoreNotMigrated, StoreUnavailable
from app.services.organizations import list_organizations
from app.web.app_state import AppState, get_app_state
from app.web.auth import authenticate, noting_forbidden
from app.web.errors import JsonResponse


async def healthz(_: Request) -> Response:
    """Alive: the process answers. Whether the store does is no reason to restart it."""
    return JsonResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Ready: the store answers, and is migrated. Asks nothing that is not asked anyway.

    Raises:
        StoreUnavailable: It does not answer.
        StoreNotMigrated: Its tables are of an older version.
    """
    pulse = get_app_state(request).database.pulse
    if not pulse.is_watched:
        await pulse.beat()
    if pulse.is_away:
        raise StoreUnavailable
    if is_behind(pulse.revision):
        raise StoreNotMigrated
    return JsonResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """What the service counts, as Prometheus reads it.

    Raises:
        Forbidden: The key is no admin's of the first organization.
        Unauthenticated: Neither METRICS_TOKEN nor a key.
    """
    services = get_app_state(request)
    await _insist_on_operator(request, services)
    await _look_at_organizations(services)
    body, media_type = services.metrics.written(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _insist_on_operator(request: Request, services: AppState) -> None:
    """The token works without the store: that it is away is what metrics are to tell."""
    token = services.settings.metrics_token
    sent = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if token and hmac.compare_digest(sent.encode(), token.encode()):
        return
    caller = await authenticate(request)
    with noting_forbidden(request, caller):
        caller.require(Scope.ADMIN)
        if caller.organization != DEFAULT_ORGANIZATION:
            raise Forbidden(
                "Metrics are of the whole install: use METRICS_TOKEN, or an admin's key of "
                f"{DEFAULT_ORGANIZATION!r}."
            )


async def _look_at_organizations(services: AppState) -> None:
    organizations, database = services.metrics.organizations, services.database
    organizations.now, organizations.rows = services.now, ()
    # Whoever waits for a connection has need of it; the next look is soon.
    if database.has_spare and not database.pulse.is_away:
        try:
            organizations.rows = await list_organizations(database)
        except StoreUnavailable:
            return


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
