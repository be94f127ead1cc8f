"""What a request carries on its way down."""

from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from app.db.engine import Database
from app.db.levels import ReportMonth
from app.db.snapshot import Snapshot
from app.domain.audit import OPERATOR, Actor, AuditEvent
from app.domain.callers import Caller
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """One request: who asks, when, and the instant of the store that it reads.

    `reports` remembers how the reports that the request has opened read their month rows, `acts`
    what is to go into the audit log once it is answered.
    """

    caller: Caller
    database: Database
    snapshot: Snapshot
    settings: Settings
    now: datetime
    actor: Actor = OPERATOR
    reports: dict[tuple[UUID, date], ReportMonth] = field(default_factory=dict)
    audit_events: list[AuditEvent] = field(default_factory=list)
