"""What the routes work with, made once when the application is."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import HTTPConnection

from app.clock import Clock
from app.db.engine import Database
from app.observability.metrics import Metrics
from app.services.audit import AuditTrail
from app.services.group_commit import Ingestor
from app.services.key_loader import KeyLoader
from app.settings import Settings
from app.web.closed_report_cache import ClosedReportCache
from app.web.limits.admission import TenantCapacity
from app.web.limits.auth_throttle import AuthThrottle
from app.web.limits.concurrency import ConcurrencyLimit


@dataclass(frozen=True, slots=True)
class AppState:
    """The application's settings, its store, its clock, and the way of events into the store.

    `bodies` and `answers` are the bytes of batches, and of large answers, that are in memory;
    `downloads` are documents that hold a connection while they are sent.
    """

    settings: Settings
    database: Database
    clock: Clock
    intake: Ingestor
    key_holders: KeyLoader
    bodies: TenantCapacity
    closed_documents: ClosedReportCache
    audit: AuditTrail
    guesses: AuthThrottle
    queries: ConcurrencyLimit
    downloads: TenantCapacity
    answers: TenantCapacity
    metrics: Metrics

    @property
    def now(self) -> datetime:
        """The clock, read once per request at its edge."""
        return self.clock()


def get_app_state(connection: HTTPConnection) -> AppState:
    """The services of the application that a request came to."""
    return cast("AppState", connection.app.state.services)
