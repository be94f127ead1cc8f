"""The application: routes, and what every response carries."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.clock import Clock, system_clock
from app.db.engine import Database, Executed
from app.domain.errors import (
    ChargebackError,
    GraphiQLDisabled,
    IngestQueueFull,
    TooManyFailedAttempts,
    Unauthenticated,
)
from app.observability.metrics import Metrics
from app.observability.request_record import RequestObserver, observation
from app.services.audit import AuditTrail
from app.services.group_commit import GroupCommitIngestor, Ingestor
from app.services.key_loader import KeyLoader
from app.settings import Settings, SettingsError
from app.web import auth, events, health, openapi, rest, scim
from app.web.app_state import AppState, get_app_state
from app.web.closed_report_cache import ClosedReportCache
from app.web.errors import headers_of, refuse, refuse_http
from app.web.graphiql import asks_for_page, graphiql_page, graphiql_routes, signin_page
from app.web.graphql import GraphQLEndpoint
from app.web.limits.admission import TenantCapacity
from app.web.limits.auth_throttle import AuthThrottle
from app.web.limits.concurrency import ConcurrencyLimit
from app.web.middleware.body_timeout import BodyTimeout
from app.web.middleware.compression import GZip
from app.web.middleware.duplicate_headers import RejectDuplicateHeaders
from app.web.middleware.record_requests import RecordRequests
from app.web.middleware.security_headers import SecurityHeaders

_BODIES_IN_MEMORY = 4
"""How many of the largest batches are in memory at a time; of small ones, many more."""
_BODY_PATIENCE_SECONDS = 15.0
_CLOSED_DOCUMENTS_BYTES = 67_108_864
_ANSWERS_IN_MEMORY_BYTES = 805_306_368
"""A full report of the largest supported organization over GraphQL holds 420 MB."""


def create_app(
    settings: Settings,
    database: Database,
    clock: Clock = system_clock,
    intake: Ingestor | None = None,
) -> Starlette:
    """The service on an open store.

    Args:
        settings: What this install chose.
        database: The store, migrated, the caller's to close.
        clock: What time it is; tests choose it.
        intake: What stores events; None is this process itself.
    """
    intake = intake or GroupCommitIngestor(database)
    metrics = Metrics(database, intake)
    watchers: list[RequestObserver] = [metrics, *_traces(settings)]
    database.watchers.append(_noting(watchers))
    app = Starlette(
        routes=[
            Route("/", _home),
            Route("/graphql", _graphql(GraphQLEndpoint()), methods=["GET", "POST"]),
            *rest.routes,
            *events.routes,
            *scim.routes,
            *health.routes,
            *openapi.routes,
            *((*auth.routes, *graphiql_routes()) if settings.graphiql_enabled else ()),
        ],
        middleware=[
            Middleware(
                RecordRequests,
                watchers=watchers,
                id_header=settings.request_id_header,
                slow_seconds=settings.slow_query_seconds,
            ),
            Middleware(SecurityHeaders),
            Middleware(RejectDuplicateHeaders),
            Middleware(BodyTimeout, seconds=settings.body_timeout_seconds),
            Middleware(GZip, minimum_size=2_000, compresslevel=1),
        ],
        lifespan=_until_stopped(watchers),
        exception_handlers={
            ChargebackError: refuse,
            HTTPException: refuse_http,
        },
    )
    # Nobody is sent on to another spelling of a path: by http:// the key would go in clear.
    app.router.redirect_slashes = False
    app.state.services = AppState(
        settings=settings,
        database=database,
        clock=clock,
        intake=intake,
        key_holders=KeyLoader(database),
        bodies=_room_for_bodies(settings),
        closed_documents=ClosedReportCache(_CLOSED_DOCUMENTS_BYTES),
        audit=AuditTrail(database),
        guesses=AuthThrottle(),
        queries=ConcurrencyLimit(settings.max_concurrent_queries_per_key),
        downloads=TenantCapacity(max(1, database.connections // 2)),
        answers=TenantCapacity(_ANSWERS_IN_MEMORY_BYTES),
        metrics=metrics,
    )
    return app


def _room_for_bodies(settings: Settings) -> TenantCapacity:
    most = _BODIES_IN_MEMORY * settings.feed_max_body_bytes
    return TenantCapacity(most, _BODY_PATIENCE_SECONDS, most_of_one=most, refusal=IngestQueueFull)


def _traces(settings: Settings) -> Sequence[RequestObserver]:
    if settings.traces_endpoint is None:
        return []
    try:
        from app.observability.traces import Traces
    except ImportError as error:
        raise SettingsError(
            f"TRACES_ENDPOINT needs the package {error.name}: install the extra 'traces'."
        ) from None
    return [Traces(settings.traces_endpoint)]


def _noting(watchers: Sequence[RequestObserver]) -> Callable[[Executed], None]:
    """Has each statement noted for the request that it belongs to."""

    def note(executed: Executed) -> None:
        observed = observation()
        observed.note_statement(executed)
        for watcher in watchers:
            watcher.executed(observed, executed)

    return note


def _until_stopped(
    watchers: Sequence[RequestObserver],
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A clean stop leaves nothing unwritten, and nothing unsent."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await app.state.services.audit.close()
        for watcher in watchers:
            watcher.close()

    return lifespan


async def _home(_: Request) -> Response:
    return RedirectResponse("/graphql")


def _graphql(endpoint: GraphQLEndpoint) -> Any:
    """Queries for clients; for a browser's address bar GraphiQL, or the way to sign in to it."""

    async def graphql(request: Request) -> Response:
        if not asks_for_page(request):
            return await endpoint.respond(request)
        if not get_app_state(request).settings.graphiql_enabled:
            raise GraphiQLDisabled
        try:
            await auth.authenticate(request)
        except (TooManyFailedAttempts, Unauthenticated) as refusal:
            return await signin_page(request, None, refusal.status, headers_of(refusal))
        return await graphiql_page(request)

    return graphql
