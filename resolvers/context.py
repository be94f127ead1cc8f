"""The context of a request."""

from dataclasses import dataclass, field
from datetime import datetime

from app.db.engine import Database
from app.db.snapshot import Snapshot
from app.domain.audit import OPERATOR, Actor, AuditEvent
from app.domain.callers import Caller
from app.settings import Settings
from resolvers.charges_cache import ChargesCache
from resolvers.window_cache import WindowCache


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one request.

    Attributes:
        caller: The authenticated user, and the organization of the key.
        database: For writes, and for reads outside the snapshot.
        snapshot: The read-only snapshot that all batch resolvers of the request read.
        settings: The settings of the service.
        now: The time of the request.
        actor: Who the audit log names.
        audit_events: What the request did; recorded once it is answered.
        charges_cache: The charges that earlier requests computed.
        windows: The windows of reports that the request has read.
    """

    caller: Caller
    database: Database
    snapshot: Snapshot
    settings: Settings
    now: datetime
    actor: Actor = OPERATOR
    audit_events: list[AuditEvent] = field(default_factory=list)
    charges_cache: ChargesCache = field(default_factory=ChargesCache)
    windows: WindowCache = field(default_factory=WindowCache)
