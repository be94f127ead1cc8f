"""What the audit log keeps: who did what, when, from where, by which key, with what outcome."""

import itertools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.callers import Caller
from app.domain.keys import redact_secrets


class Action(StrEnum):
    """What was done, or tried."""

    REPORT_READ = "REPORT_READ"
    REPORT_DOWNLOADED = "REPORT_DOWNLOADED"
    REPORT_EXPORTED = "REPORT_EXPORTED"
    KEY_CREATED = "KEY_CREATED"
    KEY_ROTATED = "KEY_ROTATED"
    KEY_REVOKED = "KEY_REVOKED"
    MONTH_CLOSED = "MONTH_CLOSED"
    MONTH_REOPENED = "MONTH_REOPENED"
    HANDED_OVER = "HANDED_OVER"
    HAND_OVER_WITHDRAWN = "HAND_OVER_WITHDRAWN"
    SIGNED_IN = "SIGNED_IN"
    SIGNED_OUT = "SIGNED_OUT"
    REQUEST_REFUSED = "REQUEST_REFUSED"
    ORGANIZATION_CREATED = "ORGANIZATION_CREATED"
    SERVICE_STARTED = "SERVICE_STARTED"
    AUDIT_READ = "AUDIT_READ"
    AUDIT_EXPORTED = "AUDIT_EXPORTED"
    CURRENCY_SET = "CURRENCY_SET"
    COST_CENTRE_SET = "COST_CENTRE_SET"
    RATE_SET = "RATE_SET"
    PRICE_SET = "PRICE_SET"
    ASSIGNED = "ASSIGNED"


class Channel(StrEnum):
    """The way that somebody came in."""

    GRAPHQL = "GRAPHQL"
    REST = "REST"
    COMMAND_LINE = "COMMAND_LINE"
    SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, by which key, from where; None where that is not known."""

    username: str | None
    door: Channel
    key_id: str | None = None
    address: str | None = None

    @classmethod
    def of(cls, caller: Caller, door: Channel, address: str | None) -> "Actor":
        """The actor behind a request."""
        return cls(caller.username, door, caller.key_id, address)


OPERATOR = Actor("operator", Channel.COMMAND_LINE)
"""Who does what the command line does: whoever has the service's account."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something done to what belongs to an organization: a month, a key, a path."""

    organization_id: UUID
    action: Action
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class AuditEntry(NamedTuple):
    """A line of the log, less its organization. `outcome` is below, or an error's code."""

    entry_id: UUID
    happened_at: datetime
    action: str
    target: str
    outcome: str
    username: str | None
    key_id: str | None
    address: str | None
    door: str
    detail: str


OK = "OK"
UNFINISHED = "UNFINISHED"
"""The outcome of what ended before its answer: it took too long, or nobody waited for it."""


def to_audit_entry(act: AuditEvent, actor: Actor, now: datetime, outcome: str = OK) -> AuditEntry:
    """The line that an act leaves; what a stranger sent is cut to what a line can bear.

    Whoever puts a key where it does not belong, into a path or a reason, leaves none of it here.
    """
    return AuditEntry(
        _entry_id(now),
        now,
        act.action,
        _bearable(act.target),
        outcome,
        actor.username,
        actor.key_id,
        actor.address,
        actor.door,
        redact_secrets(json.dumps(act.detail)),
    )


_LONGEST_TARGET = 500
_count = itertools.count()


def _bearable(text: str) -> str:
    shown = redact_secrets(text)[:_LONGEST_TARGET].encode(errors="replace").decode()
    return shown.replace("\0", "\N{SYMBOL FOR NULL}")


def _entry_id(now: datetime) -> UUID:
    """Ids (UUID version 7) sort by time, and those of one process and instant by their making."""
    milliseconds, microseconds = divmod(int(now.timestamp() * 1_000_000), 1000)
    tail = (next(_count) % 2**30) << 32 | secrets.randbits(32)
    return UUID(int=milliseconds << 80 | 7 << 76 | microseconds << 64 | 2 << 62 | tail)
