"""Audit events: who did what, when, from where, with which key, and with which outcome."""

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
    """What was done or attempted."""

    REPORT_READ = "REPORT_READ"
    REPORT_DOWNLOADED = "REPORT_DOWNLOADED"
    REPORT_EXPORTED = "REPORT_EXPORTED"
    STATEMENT_READ = "STATEMENT_READ"
    KEY_CREATED = "KEY_CREATED"
    KEY_ROTATED = "KEY_ROTATED"
    KEY_REVOKED = "KEY_REVOKED"
    MONTH_CLOSED = "MONTH_CLOSED"
    MONTH_REOPENED = "MONTH_REOPENED"
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


class Interface(StrEnum):
    """The interface through which a request reached the service."""

    GRAPHQL = "GRAPHQL"
    REST = "REST"
    COMMAND_LINE = "COMMAND_LINE"
    SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, with which key and from which address; None where unknown."""

    username: str | None
    interface: Interface
    key_id: str | None = None
    address: str | None = None

    @classmethod
    def of(cls, caller: Caller, interface: Interface, address: str | None) -> "Actor":
        """Return the actor of an authenticated request."""
        return cls(caller.username, interface, caller.key_id, address)


OPERATOR = Actor("operator", Interface.COMMAND_LINE)
"""Somebody who can use the service's system account; commands add that user's name."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An action on something that belongs to an organization: a month, a key, a path."""

    organization_id: UUID
    action: Action
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class AuditEntry(NamedTuple):
    """A row of the audit log without its organization.

    `outcome` is `OK`, `UNFINISHED` or an error code.
    """

    entry_id: UUID
    happened_at: datetime
    action: str
    target: str
    outcome: str
    username: str | None
    key_id: str | None
    address: str | None
    interface: str
    detail: str


OK = "OK"
UNFINISHED = "UNFINISHED"
"""The outcome of a request that ended without a response: timed out, or client disconnected."""


def to_audit_entry(
    event: AuditEvent, actor: Actor, now: datetime, outcome: str = OK
) -> AuditEntry:
    """Return the log entry of an event.

    The target is truncated, and API keys that were sent in a path or a reason are redacted.
    """
    return AuditEntry(
        _next_entry_id(now),
        now,
        event.action,
        _sanitize(event.target),
        outcome,
        actor.username,
        actor.key_id,
        actor.address,
        actor.interface,
        redact_secrets(json.dumps(event.detail)),
    )


_MAX_TARGET_LENGTH = 500
_count = itertools.count()


def _sanitize(text: str) -> str:
    cleaned = redact_secrets(text)[:_MAX_TARGET_LENGTH].encode(errors="replace").decode()
    return cleaned.replace("\0", "\N{SYMBOL FOR NULL}")


def _next_entry_id(now: datetime) -> UUID:
    """Return a UUID version 7: ids sort by time, and within one process by order of creation."""
    milliseconds, microseconds = divmod(int(now.timestamp() * 1_000_000), 1000)
    tail = (next(_count) % 2**30) << 32 | secrets.randbits(32)
    return UUID(int=milliseconds << 80 | 7 << 76 | microseconds << 64 | 2 << 62 | tail)
