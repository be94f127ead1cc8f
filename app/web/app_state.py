"""The application state: what the routes share, created once at start-up."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import HTTPConnection

from app.admission import TenantCapacity
from app.clock import Clock
from app.db.engine import Database
from app.observability.metrics import Metrics
from app.services.audit import AuditTrail
from app.services.key_loader import KeyLoader
from app.settings import Settings
from app.web.closed_report_cache import ClosedReportCache
from app.web.ingestor import Ingestor
from app.web.limits.auth_throttle import AuthThrottle
from app.web.limits.concurrency import ConcurrencyLimit
from resolvers.charges_cache import ChargesCache


@dataclass(frozen=True, slots=True)
class AppState:
    """Settings, store, clock and limits of one application.

    Attributes:
        body_memory: Bytes of request bodies in memory.
        response_memory: Bytes of large responses in memory.
        scim_slots: SCIM requests that write or search; an organization has one at a time.
        download_slots: Streaming documents, each of which holds a database connection.
    """

    settings: Settings
    database: Database
    clock: Clock
    ingestor: Ingestor
    key_loader: KeyLoader
    body_memory: TenantCapacity
    closed_reports: ClosedReportCache
    audit: AuditTrail
    auth_throttle: AuthThrottle
    query_limit: ConcurrencyLimit
    download_slots: TenantCapacity
    scim_slots: TenantCapacity
    response_memory: TenantCapacity
    charges_cache: ChargesCache
    metrics: Metrics

    @property
    def now(self) -> datetime:
        """The current time. Read it once per request, at the edge."""
        return self.clock()


def get_app_state(connection: HTTPConnection) -> AppState:
    """Return the state of the application that serves a request."""
    return cast("AppState", connection.app.state.chargeback)
