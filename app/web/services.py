"""What the routes work with, made once when the application is."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from starlette.requests import HTTPConnection

from app.db.engine import Database
from app.settings import Settings
from app.web.closed import ClosedDocuments
from app.web.guesses import Guesses
from app.web.metrics import Metrics
from app.web.queries import RunningQueries
from app.web.shares import Shares
from resolvers.audit import AuditTrail
from resolvers.context import Clock
from resolvers.feed import Taking
from resolvers.keys import KeyHolders


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
