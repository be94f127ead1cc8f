"""Endpoints for operators: liveness, readiness and metrics."""

import hmac

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.db.migrations import is_behind
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import Forbidden, StoreNotMigrated, StoreUnavailable
from app.services.organizations import list_organizations
from app.web.app_state import AppState, get_app_state
from app.web.auth import audit_forbidden, authenticate
from app.web.errors import JsonResponse
from app.web.query_params import require_known_params


async def healthz(_: Request) -> Response:
    """Liveness. Restarting the process would not help if the store is down."""
    return JsonResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Readiness: the store answers and is migrated. Uses the last regular probe.

    Raises:
        StoreUnavailable: The store does not answer.
        StoreNotMigrated: The store's tables are of an older version.
    """
    monitor = get_app_state(request).database.monitor
    if not monitor.is_running:
        await monitor.probe()
    if monitor.is_down:
        raise StoreUnavailable
    if is_behind(monitor.revision):
        raise StoreNotMigrated
    return JsonResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus's text formats.

    Raises:
        Forbidden: The key does not belong to an admin of the default organization.
        Unauthenticated: The request has neither METRICS_TOKEN nor a key.
    """
    state = get_app_state(request)
    await _require_operator(request, state)
    require_known_params(request, ())
    await _refresh_organizations(state)
    body, media_type = await state.metrics.render(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _require_operator(request: Request, state: AppState) -> None:
    """Accept METRICS_TOKEN, which works while the store is down, or an operator's key."""
    token = state.settings.metrics_token
    sent = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if token and hmac.compare_digest(sent.encode(), token.encode()):
        return
    caller = await authenticate(request)
    with audit_forbidden(request, caller):
        caller.require(Scope.ADMIN)
        if caller.organization != DEFAULT_ORGANIZATION:
            raise Forbidden(
                "Metrics cover the whole install: use METRICS_TOKEN, or an admin's key of "
                f"{DEFAULT_ORGANIZATION!r}."
            )


async def _refresh_organizations(state: AppState) -> None:
    """Read the organizations, unless the store is down or every connection is in use."""
    collector, database = state.metrics.organizations, state.database
    collector.now, collector.rows = state.now, ()
    if database.has_spare_connection and not database.monitor.is_down:
        try:
            collector.rows = await list_organizations(database)
        except StoreUnavailable:
            return


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
