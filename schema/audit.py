"""The audit log, as admins read it."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import orjson
import strawberry
from strawberry import Info

from app.db.audit import AuditFilter
from resolvers.audit_log import read_audit_log
from resolvers.context import Context
from schema.arguments import OrganizationName


def _value(name: str, description: str) -> Any:
    return strawberry.enum_value(name, description=description)


@strawberry.enum(description="What was done, or tried.")
class AuditAction(Enum):
    """What was done, or tried."""

    REPORT_READ = _value("REPORT_READ", "A report was read in GraphQL or on the command line.")
    REPORT_DOWNLOADED = _value("REPORT_DOWNLOADED", "A report was asked for as REST's document.")
    REPORT_EXPORTED = _value("REPORT_EXPORTED", "A report was written as JSON or CSV.")
    KEY_CREATED = _value("KEY_CREATED", "An API key was created.")
    KEY_ROTATED = _value("KEY_ROTATED", "An API key was replaced by another.")
    KEY_REVOKED = _value("KEY_REVOKED", "An API key was ended.")
    MONTH_CLOSED = _value("MONTH_CLOSED", "A month was closed.")
    MONTH_REOPENED = _value("MONTH_REOPENED", "A closed month was opened again.")
    HANDED_OVER = _value(
        "HANDED_OVER", "Live sources took over from a month on from what imported reports told."
    )
    HAND_OVER_WITHDRAWN = _value("HAND_OVER_WITHDRAWN", "That was taken back.")
    SIGNED_IN = _value("SIGNED_IN", "A browser's session began with a key.")
    SIGNED_OUT = _value("SIGNED_OUT", "A browser's session was ended.")
    REQUEST_REFUSED = _value(
        "REQUEST_REFUSED", "A request was refused: a bad key, or something not theirs."
    )
    ORGANIZATION_CREATED = _value("ORGANIZATION_CREATED", "The organization was created.")
    SERVICE_STARTED = _value("SERVICE_STARTED", "A service started, with the settings in detail.")
    AUDIT_READ = _value("AUDIT_READ", "This log was read in GraphQL.")
    AUDIT_EXPORTED = _value("AUDIT_EXPORTED", "This log was exported.")
    CURRENCY_SET = _value("CURRENCY_SET", "The organization's currency was set.")
    COST_CENTRE_SET = _value("COST_CENTRE_SET", "A cost centre was created or renamed.")
    RATE_SET = _value("RATE_SET", "A rate was created or changed.")
    PRICE_SET = _value("PRICE_SET", "A price was set from a month on.")
    ASSIGNED = _value("ASSIGNED", "Workspaces or users were assigned to cost centres.")


@strawberry.enum(description="The interface through which a request reached the service.")
class AuditInterface(Enum):
    """The interface through which a request reached the service."""

    GRAPHQL = _value("GRAPHQL", "GraphQL, GraphiQL and its sign-in.")
    REST = _value("REST", "The other routes.")
    COMMAND_LINE = _value("COMMAND_LINE", "The command `chargeback`.")
    SERVICE = _value("SERVICE", "The service by itself.")


@strawberry.type(description="A line of the audit log. Lines never change.")
class AuditLogEntry:
    """A line of the audit log."""

    id: strawberry.ID = strawberry.field(description="Later lines have greater ids.")
    happened_at: datetime = strawberry.field(description="When.")
    action: AuditAction = strawberry.field(description="What was done, or tried.")
    target: str = strawberry.field(
        description="To what: a month or a range of them, a key's id, a path; empty when that "
        "says nothing."
    )
    outcome: str = strawberry.field(
        description="`OK`, the code of the error, or `UNFINISHED` when nobody got an answer."
    )
    username: str | None = strawberry.field(
        description="Null when nobody knows; else who: a username, `operator` for the command "
        "line, or the setting by which the service acted."
    )
    key_id: strawberry.ID | None = strawberry.field(
        description="Null when there was no key; else its id, also of one that was refused."
    )
    address: str | None = strawberry.field(
        description="Null when it did not come over the network; else the address that it came "
        "from."
    )
    interface: AuditInterface = strawberry.field(description="The interface used.")
    detail: str = strawberry.field(description="What else is to be said, as a JSON object.")


def _entry(row: Any) -> AuditLogEntry:
    return AuditLogEntry(
        id=strawberry.ID(str(row.entry_id)),
        happened_at=row.happened_at,
        action=AuditAction[row.action],
        target=row.target,
        outcome=row.outcome,
        username=row.username,
        key_id=None if row.key_id is None else strawberry.ID(row.key_id),
        address=row.address,
        interface=AuditInterface[row.interface],
        detail=orjson.dumps(row.detail).decode(),
    )


async def audit_log(
    info: Info[Context, Any],
    first: Annotated[
        int, strawberry.argument(description="At most so many, from 0 to 10000.")
    ] = 100,
    after: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="Only lines before this one: the `id` last seen."),
    ] = None,
    actions: Annotated[
        list[AuditAction] | None,
        strawberry.argument(description="Only these actions; without it, all."),
    ] = None,
    username: Annotated[
        str | None, strawberry.argument(description="Only what this user did.")
    ] = None,
    since: Annotated[
        datetime | None, strawberry.argument(description="Only what happened from then on.")
    ] = None,
    until: Annotated[
        datetime | None, strawberry.argument(description="Only what happened before then.")
    ] = None,
    organization: OrganizationName = None,
) -> list[AuditLogEntry]:
    """The audit log of an organization, the latest line first."""
    names = None if actions is None else [action.name for action in actions]
    matching = AuditFilter(names, username, since, until)
    rows = await read_audit_log(info.context, organization, matching, first, after)
    return [_entry(row) for row in rows]
