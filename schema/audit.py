"""The audit log."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import orjson
import strawberry

from app.db.audit import AuditFilter
from resolvers.audit_log import read_audit_log
from schema.arguments import OrganizationName
from schema.request_info import RequestInfo


def _enum_value(name: str, description: str) -> Any:
    return strawberry.enum_value(name, description=description)


@strawberry.enum(description="What was done or attempted.")
class AuditAction(Enum):
    """What was done or attempted."""

    REPORT_READ = _enum_value("REPORT_READ", "A report was read over GraphQL or the command line.")
    REPORT_DOWNLOADED = _enum_value("REPORT_DOWNLOADED", "A report was downloaded over REST.")
    REPORT_EXPORTED = _enum_value("REPORT_EXPORTED", "A report was written as JSON or CSV.")
    STATEMENT_READ = _enum_value("STATEMENT_READ", "The statement of a cost centre was read.")
    KEY_CREATED = _enum_value("KEY_CREATED", "An API key was created.")
    KEY_ROTATED = _enum_value("KEY_ROTATED", "An API key was replaced by a new one.")
    KEY_REVOKED = _enum_value("KEY_REVOKED", "An API key was revoked.")
    MONTH_CLOSED = _enum_value("MONTH_CLOSED", "A month was closed.")
    MONTH_REOPENED = _enum_value("MONTH_REOPENED", "A closed month was reopened.")
    SIGNED_IN = _enum_value("SIGNED_IN", "A browser session started with an API key.")
    SIGNED_OUT = _enum_value("SIGNED_OUT", "A browser session ended.")
    REQUEST_REFUSED = _enum_value(
        "REQUEST_REFUSED", "A request was rejected because of its key, scope or organization."
    )
    ORGANIZATION_CREATED = _enum_value("ORGANIZATION_CREATED", "The organization was created.")
    SERVICE_STARTED = _enum_value(
        "SERVICE_STARTED", "A service started; `detail` has its settings."
    )
    AUDIT_READ = _enum_value("AUDIT_READ", "The audit log was read over GraphQL.")
    AUDIT_EXPORTED = _enum_value("AUDIT_EXPORTED", "The audit log was exported.")
    CURRENCY_SET = _enum_value("CURRENCY_SET", "The organization's currency was set.")
    COST_CENTRE_SET = _enum_value("COST_CENTRE_SET", "A cost centre was created or renamed.")
    RATE_SET = _enum_value("RATE_SET", "A rate was created or changed.")
    PRICE_SET = _enum_value("PRICE_SET", "A price was set from a month on.")
    ASSIGNED = _enum_value("ASSIGNED", "Workspaces or users were assigned to cost centres.")


@strawberry.enum(description="The interface through which a request reached the service.")
class AuditInterface(Enum):
    """The interface through which a request reached the service."""

    GRAPHQL = _enum_value("GRAPHQL", "GraphQL and GraphiQL, sign-in included.")
    REST = _enum_value("REST", "Any other HTTP route.")
    COMMAND_LINE = _enum_value("COMMAND_LINE", "The `chargeback` command.")
    SERVICE = _enum_value("SERVICE", "The service itself, such as a scheduled task.")


@strawberry.type(description="An entry of the audit log. Entries never change.")
class AuditLogEntry:
    """An entry of the audit log."""

    id: strawberry.ID = strawberry.field(description="Unique. Later entries have greater ids.")
    happened_at: datetime = strawberry.field(description="When it happened.")
    action: AuditAction = strawberry.field(description="What was done or attempted.")
    target: str = strawberry.field(
        description="The object of the action: a month or range of months, a key's id, or a "
        "path. Empty if the action has none."
    )
    outcome: str = strawberry.field(
        description="`OK`, an error code, or `UNFINISHED` if the request ended without a response."
    )
    username: str | None = strawberry.field(
        description="Null when the user is unknown; otherwise a username, `operator:` and a "
        "system user for the command line, or the setting that made the service act."
    )
    key_id: strawberry.ID | None = strawberry.field(
        description="Null when no key was used; otherwise its id, even if the key was rejected."
    )
    address: str | None = strawberry.field(
        description="Null when the action did not come over the network; otherwise the client's "
        "address."
    )
    interface: AuditInterface = strawberry.field(description="The interface used.")
    detail: str = strawberry.field(description="Further details, as a JSON object.")


def _to_entry(row: Any) -> AuditLogEntry:
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
    info: RequestInfo,
    first: Annotated[
        int, strawberry.argument(description="The page size, from 0 to 10000.")
    ] = 100,
    after: Annotated[
        strawberry.ID | None,
        strawberry.argument(
            description="Only entries older than the one with this `id`, usually the last of the "
            "previous page."
        ),
    ] = None,
    actions: Annotated[
        list[AuditAction] | None,
        strawberry.argument(description="Only these actions. By default, all."),
    ] = None,
    username: Annotated[
        str | None, strawberry.argument(description="Only actions of this user.")
    ] = None,
    since: Annotated[
        datetime | None, strawberry.argument(description="Only entries from this time on.")
    ] = None,
    until: Annotated[
        datetime | None, strawberry.argument(description="Only entries before this time.")
    ] = None,
    organization: OrganizationName = None,
) -> list[AuditLogEntry]:
    """Return a page of an organization's audit log, latest entry first."""
    names = None if actions is None else [action.name for action in actions]
    matching = AuditFilter(names, username, since, until)
    rows = await read_audit_log(info.context, organization, matching, first, after)
    return [_to_entry(row) for row in rows]
