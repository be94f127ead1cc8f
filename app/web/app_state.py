"""What the routes work with, made once when the application is."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import HTTPConnection

from app.clock import Clock
from app.db.engine import Database
from app.observability.metrics import Metrics
from app.services.audit import AuditTrail
from app.services.ingestion import Taking
from app.services.keys import KeyHolders
from app.settings import Settings
from app.web.closed_report_cache import ClosedDocuments
from app.web.limits.admission import Shares
from app.web.limits.auth_throttle import Guesses
from app.web.limits.concurrency import RunningQueries


@dataclass(frozen=True, slots=True)
class Services:
    """The application's settings, its store, its clock, and the way of events into the store.

    `bodies` and `answers` are the bytes of batches, and of large answers, that are in memory;
    `downloads` are documents that hold a connection while they are sent.
    """

    settings: Settings
    database: Database
    clock: Clock
    intake: Taking
    key_holders: KeyHolders
    bodies: Shares
    closed_documents: ClosedDocuments
    audit: AuditTrail
    guesses: Guesses
    queries: RunningQueries
    downloads: Shares
    answers: Shares
    metrics: Metrics

    @property
    def now(self) -> datetime:
        """The clock, read once per request at its edge."""
        return self.clock()


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request came to."""
    return cast("Services", connection.app.state.services)
