"""The authenticated user."""

from enum import Enum

import strawberry

from app.domain.callers import Scope
from schema.request_info import RequestInfo


@strawberry.enum(name="Scope", description="What an API key may be used for.")
class KeyScope(Enum):
    """What an API key may be used for."""

    REPORT_READ = strawberry.enum_value(
        Scope.REPORT_READ.value, description="Read reports. The user must be an admin."
    )
    STATEMENT_READ = strawberry.enum_value(
        Scope.STATEMENT_READ.value,
        description="Read the statements of the key's cost centres, and nothing else. The user "
        "need not be an admin.",
    )
    EVENTS_WRITE = strawberry.enum_value(
        Scope.EVENTS_WRITE.value,
        description="Send events and SCIM requests, except those that change roles. The user "
        "need not be an admin.",
    )
    DIRECTORY_WRITE = strawberry.enum_value(
        Scope.DIRECTORY_WRITE.value,
        description="Send events and SCIM requests, also those that make somebody an admin.",
    )
    ADMIN = strawberry.enum_value(
        Scope.ADMIN.value,
        description="Everything but sending events, including the management of keys. The user "
        "must be an admin.",
    )


@strawberry.type(description="The user that the request's key or session authenticates.")
class Viewer:
    """The authenticated user."""

    username: str = strawberry.field(description="The user's name.")
    organization: str = strawberry.field(
        description="The name of the organization that the key belongs to."
    )
    is_admin: bool = strawberry.field(
        description="Whether the user is an admin of this organization or of all organizations."
    )
    scopes: list[KeyScope] = strawberry.field(description="What the key may be used for.")
    cost_centres: list[str] = strawberry.field(
        description="The codes of the cost centres whose statements the scope `statement:read` "
        "covers, sorted. Empty without that scope."
    )


def viewer(info: RequestInfo) -> Viewer:
    """Return the authenticated user."""
    caller = info.context.caller
    return Viewer(
        username=caller.username,
        organization=caller.organization,
        is_admin=caller.is_admin or caller.is_listed_admin,
        scopes=[KeyScope[scope.name] for scope in sorted(caller.scopes)],
        cost_centres=sorted(caller.cost_centres),
    )
