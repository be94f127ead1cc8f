"""The application: its routes, middleware and lifespan."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.admission import TenantCapacity
from app.clock import Clock, system_clock
from app.db.engine import Database
from app.db.pool import ExecutedStatement
from app.domain.errors import (
    ChargebackError,
    GraphiQLDisabled,
    IngestQueueFull,
    TooManyFailedAttempts,
    Unauthenticated,
)
from app.observability.metrics import Metrics
from app.observability.request_record import RequestObserver, get_current_record
from app.services.audit import AuditTrail
from app.services.group_commit import GroupCommitIngestor
from app.services.key_loader import KeyLoader
from app.settings import Settings, SettingsError
from app.timeouts import BODY_ADMISSION_SECONDS
from app.web import auth, charges, events, export, health, openapi, rest, scim
from app.web.app_state import AppState, get_app_state
from app.web.closed_report_cache import ClosedReportCache
from app.web.errors import error_headers, handle_error, handle_http_error
from app.web.graphiql import accepts_page, graphiql_page
from app.web.graphql import GraphQLEndpoint
from app.web.ingestor import Ingestor
from app.web.limits.auth_throttle import AuthThrottle
from app.web.limits.concurrency import ConcurrencyLimit
from app.web.middleware.body_timeout import BodyTimeout
from app.web.middleware.compression import QualityAwareGZip
from app.web.middleware.duplicate_headers import RejectDuplicateHeaders
from app.web.middleware.record_requests import RecordRequests
from app.web.middleware.security_headers import SecurityHeaders
from app.web.pages import page_routes
from app.web.signin import signin_page
from app.web.static_files import static_routes
from resolvers.charges_cache import ChargesCache

_MAX_LARGEST_BODIES = 4
"""Request bodies of the largest allowed size that fit in memory at once."""
_SCIM_SLOTS = 4
_CLOSED_REPORT_CACHE_BYTES = 67_108_864
_RESPONSE_MEMORY_BYTES = 805_306_368
"""The full GraphQL report of the largest supported organization takes 420 MB."""


def create_app(
    settings: Settings,
    database: Database,
    clock: Clock = system_clock,
    ingestor: Ingestor | None = None,
) -> Starlette:
    """Create the ASGI application.

    Args:
        settings: The settings of this install.
        database: A migrated store. The caller closes it.
        clock: Returns the current time; tests pass their own.
        ingestor: Stores events; by default, this process does.
    """
    ingestor = ingestor or GroupCommitIngestor(database, settings.feed_max_batch_rows)
    metrics = Metrics(database, ingestor)
    observers: list[RequestObserver] = [metrics, *_create_tracers(settings)]
    database.statement_listeners.append(_create_query_observer(observers))
    app = Starlette(
        routes=_create_routes(settings),
        middleware=_create_middleware(settings, observers),
        lifespan=_create_lifespan(observers),
        exception_handlers={
            ChargebackError: handle_error,
            HTTPException: handle_http_error,
        },
    )
    # A redirect to http:// would make clients send their key in clear text.
    app.router.redirect_slashes = False
    app.state.chargeback = AppState(
        settings=settings,
        database=database,
        clock=clock,
        ingestor=ingestor,
        key_loader=KeyLoader(database),
        body_memory=_create_body_memory(settings),
        closed_reports=ClosedReportCache(_CLOSED_REPORT_CACHE_BYTES),
        audit=AuditTrail(database),
        auth_throttle=AuthThrottle(),
        query_limit=ConcurrencyLimit(settings.max_concurrent_queries_per_key),
        download_slots=TenantCapacity(max(1, database.pool_size // 2)),
        scim_slots=TenantCapacity(_SCIM_SLOTS, tenant_limit=1),
        response_memory=TenantCapacity(_RESPONSE_MEMORY_BYTES),
        charges_cache=ChargesCache(),
        metrics=metrics,
    )
    return app


def _create_routes(settings: Settings) -> list[BaseRoute]:
    return [
        Route("/graphql", _create_graphql_endpoint(GraphQLEndpoint()), methods=["GET", "POST"]),
        *rest.routes,
        *export.routes,
        *charges.routes,
        *events.routes,
        *scim.routes,
        *health.routes,
        *openapi.routes,
        *(_create_browser_routes() if settings.graphiql_enabled else ()),
    ]


def _create_browser_routes() -> list[BaseRoute]:
    return [*page_routes(), *auth.routes, *static_routes()]


def _create_middleware(
    settings: Settings, observers: Sequence[RequestObserver]
) -> list[Middleware]:
    return [
        Middleware(
            RecordRequests,
            observers=observers,
            id_header=settings.request_id_header,
            slow_seconds=settings.slow_query_seconds,
        ),
        Middleware(SecurityHeaders),
        *_create_cors(settings),
        Middleware(RejectDuplicateHeaders),
        Middleware(BodyTimeout, seconds=settings.body_timeout_seconds),
        Middleware(QualityAwareGZip, minimum_size=2_000, compresslevel=1),
    ]


def _create_cors(settings: Settings) -> Sequence[Middleware]:
    """Let pages of the allowed origins call the API with a key, but not with a session."""
    if not settings.cors_allowed_origins:
        return []
    id_header = (settings.request_id_header,) if settings.request_id_header else ()
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "If-None-Match", *id_header),
            expose_headers=("ETag", "Retry-After", "Content-Disposition", *id_header),
        )
    ]


def _create_body_memory(settings: Settings) -> TenantCapacity:
    """Return the capacity for request bodies, counted as they arrive."""
    capacity = _MAX_LARGEST_BODIES * settings.feed_max_body_bytes
    return TenantCapacity(capacity, BODY_ADMISSION_SECONDS, timeout_error=IngestQueueFull)


def _create_tracers(settings: Settings) -> Sequence[RequestObserver]:
    if settings.traces_endpoint is None:
        return []
    try:
        from app.observability.traces import Traces
    except ImportError as error:
        raise SettingsError(
            f"TRACES_ENDPOINT needs the package {error.name}: install the extra 'traces'."
        ) from None
    return [Traces(settings.traces_endpoint)]


def _create_query_observer(
    observers: Sequence[RequestObserver],
) -> Callable[[ExecutedStatement], None]:
    """Return a callback that attributes each SQL statement to the current request."""

    def observe(executed: ExecutedStatement) -> None:
        record = get_current_record()
        record.add_query(executed)
        for observer in observers:
            observer.query_executed(record, executed)

    return observe


def _create_lifespan(
    observers: Sequence[RequestObserver],
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return a lifespan that writes pending audit events and spans on shutdown."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await app.state.chargeback.audit.close()
        for observer in observers:
            observer.close()

    return lifespan


def _create_graphql_endpoint(
    endpoint: GraphQLEndpoint,
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of /graphql: the API for clients, GraphiQL or sign-in for browsers."""

    async def graphql(request: Request) -> Response:
        if not accepts_page(request):
            return await endpoint.respond(request)
        if not get_app_state(request).settings.graphiql_enabled:
            raise GraphiQLDisabled
        try:
            await auth.authenticate(request)
        except (TooManyFailedAttempts, Unauthenticated) as error:
            return signin_page(
                None, error.status, error_headers(error), return_to=_requested_address(request)
            )
        return await graphiql_page(request)

    return graphql


def _requested_address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
