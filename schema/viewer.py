"""The authenticated user."""

from enum import Enum
from typing import Any

import strawberry
from strawberry import Info

from app.domain.callers import Scope
from resolvers.context import Context


@strawberry.enum(name="Scope", description="What a key may be used for.")
class KeyScope(Enum):
    """What a key may be used for."""

    REPORT_READ = strawberry.enum_value(
        Scope.REPORT_READ.value, description="Reads reports; the user must be an admin."
    )
    EVENTS_WRITE = strawberry.enum_value(
        Scope.EVENTS_WRITE.value, description="Writes usage events."
    )
    ADMIN = strawberry.enum_value(
        Scope.ADMIN.value, description="Everything, keys included; the user must be an admin."
    )


@strawberry.type(description="The user that the request's key or session authenticates.")
class Viewer:
    """The authenticated user."""

    username: str = strawberry.field(description="Whose key it is.")
    organization: str = strawberry.field(description="The organization that the key belongs to.")
    is_admin: bool = strawberry.field(
        description="Whether the user is an admin of the organization, or of all."
    )
    scopes: list[KeyScope] = strawberry.field(description="What the key may be used for.")


def viewer(info: Info[Context, Any]) -> Viewer:
    """The caller, as a client may know them."""
    caller = info.context.caller
    return Viewer(
        username=caller.username,
        organization=caller.organization,
        is_admin=caller.is_admin or caller.is_listed_admin,
        scopes=[KeyScope[scope.name] for scope in sorted(caller.scopes)],
    )
