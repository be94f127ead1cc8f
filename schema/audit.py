"""The audit log."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import orjson
import strawberry

from app.db.audit import AuditFilter
from resolvers.audit_log import MAX_ENTRIES
from schema.execution import column


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


def _to_action(name: str) -> AuditAction:
    return AuditAction[name]


def _to_interface(name: str) -> AuditInterface:
    return AuditInterface[name]


def _to_json(detail: Any) -> str:
    return orjson.dumps(detail).decode()


@strawberry.type(description="An entry of the audit log. Entries never change.")
class AuditLogEntry:
    """An entry of the audit log."""

    id: strawberry.ID = column(
        "entry_id", convert=str, description="Unique. Later entries have greater ids."
    )
    happened_at: datetime = column(description="When it happened.")
    action: AuditAction = column(convert=_to_action, description="What was done or attempted.")
    target: str = column(
        description="The object of the action: a month or range of months, a key's id, or a "
        "path. Empty if the action has none."
    )
    outcome: str = column(
        description="`OK`, an error code, or `UNFINISHED` if the request ended without a response."
    )
    username: str | None = column(
        description="Null when the user is unknown; otherwise a username, `operator:` and a "
        "system user for the command line, or the setting that made the service act."
    )
    key_id: strawberry.ID | None = column(
        description="Null when no key was used; otherwise its id, even if the key was rejected."
    )
    address: str | None = column(
        description="Null when the action did not come over the network; otherwise the client's "
        "address."
    )
    interface: AuditInterface = column(convert=_to_interface, description="The interface used.")
    detail: str = column(convert=_to_json, description="Further details, as a JSON object.")


AuditPageSize = Annotated[
    int, strawberry.argument(description=f"The page size, from 0 to {MAX_ENTRIES}.")
]
AfterEntry = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="Only entries older than the one with this `id`, usually the last of the "
        "previous page."
    ),
]
OfActions = Annotated[
    list[AuditAction] | None,
    strawberry.argument(description="Only these actions. By default, all."),
]
OfUsername = Annotated[str | None, strawberry.argument(description="Only actions of this user.")]
Since = Annotated[
    datetime | None, strawberry.argument(description="Only entries from this time on.")
]
Until = Annotated[
    datetime | None, strawberry.argument(description="Only entries before this time.")
]


def to_audit_filter(
    actions: list[AuditAction] | None,
    username: str | None,
    since: datetime | None,
    until: datetime | None,
) -> AuditFilter:
    """Convert the arguments that select entries."""
    names = None if actions is None else [action.name for action in actions]
    return AuditFilter(names, username, since, until)
