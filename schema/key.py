"""API keys, as admins see and change them."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import Info

from app.domain.callers import Scope
from app.services.keys import CreatedKey, list_keys
from resolvers.context import Context
from schema.viewer import KeyScope


@strawberry.type(description="An API key, without its secret.")
class ApiKey:
    """An API key, without its secret."""

    id: strawberry.ID = strawberry.field(description="The part of the key after `cbk_`.")
    username: str = strawberry.field(description="Whose key it is.")
    label: str = strawberry.field(description="What it is for, in its creator's words.")
    scopes: list[KeyScope] = strawberry.field(description="What it may be used for.")
    created_at: datetime = strawberry.field(description="When it was created.")
    expires_at: datetime | None = strawberry.field(
        description="Null when it does not expire; else when it does."
    )
    revoked_at: datetime | None = strawberry.field(
        description="Null when it was not revoked; else when it was."
    )
    last_used_at: datetime | None = strawberry.field(
        description="Null when it was never used; else the last use, to the minute."
    )


@strawberry.type(description="A key that was just created.")
class CreatedApiKey:
    """A key that was just created."""

    api_key: ApiKey = strawberry.field(description="The key, as it is listed from now on.")
    secret: str = strawberry.field(
        description="The key itself, to be sent as the header `Authorization`. It is shown this "
        "once; the service keeps only a hash of it."
    )


def api_key(row: Any) -> ApiKey:
    """A key's row, as a client may know it."""
    return ApiKey(
        id=strawberry.ID(row.key_id),
        username=row.username,
        label=row.label,
        scopes=[KeyScope[Scope(scope).name] for scope in row.scopes],
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def created_api_key(minted: CreatedKey) -> CreatedApiKey:
    """A new key, with the only sight of its secret."""
    return CreatedApiKey(api_key=api_key(minted.row), secret=str(minted.text))


async def api_keys(info: Info[Context, Any]) -> list[ApiKey]:
    """The keys of the caller's organization."""
    context = info.context
    rows = await list_keys(context.database, context.caller.organization_id)
    return [api_key(row) for row in rows]
