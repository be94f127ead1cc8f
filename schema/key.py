"""API keys."""

from datetime import datetime
from typing import Annotated

import strawberry

from app.db.keys import KeyRow
from app.domain.callers import Scope
from app.services.keys import MAX_KEYS, CreatedKey, list_keys
from schema.request_info import RequestInfo
from schema.viewer import KeyScope


@strawberry.type(description="An API key, without its secret.")
class ApiKey:
    """An API key, without its secret."""

    id: strawberry.ID = strawberry.field(description="The part of the key after `cbk_`.")
    username: str = strawberry.field(description="The user that the key authenticates.")
    label: str = strawberry.field(description="What the key is for; free text.")
    scopes: list[KeyScope] = strawberry.field(description="What the key may be used for.")
    cost_centres: list[str] = strawberry.field(
        description="The codes of the cost centres whose statements the scope `statement:read` "
        "covers. Empty without that scope."
    )
    created_at: datetime = strawberry.field(description="When the key was created.")
    expires_at: datetime | None = strawberry.field(
        description="Null when the key does not expire; otherwise the time at which it does."
    )
    revoked_at: datetime | None = strawberry.field(
        description="Null when the key is not revoked; otherwise the time at which it was."
    )
    last_used_at: datetime | None = strawberry.field(
        description="Null when the key was never used; otherwise its last use, to the minute."
    )


@strawberry.type(description="A new API key and its secret.")
class CreatedApiKey:
    """A new API key and its secret."""

    api_key: ApiKey = strawberry.field(description="The key, without its secret.")
    secret: str = strawberry.field(
        description="The key's full text, to send in the `Authorization` header. It is shown only "
        "once; the service stores a hash of it."
    )


def to_api_key(row: KeyRow) -> ApiKey:
    """Convert a key for the response."""
    return ApiKey(
        id=strawberry.ID(row.key_id),
        username=row.username,
        label=row.label,
        scopes=[KeyScope[Scope(scope).name] for scope in row.scopes],
        cost_centres=list(row.cost_centres),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def to_created_api_key(created: CreatedKey) -> CreatedApiKey:
    """Convert a new key for the response, its secret included."""
    return CreatedApiKey(api_key=to_api_key(created.row), secret=str(created.text))


KeyPageSize = Annotated[
    int, strawberry.argument(description=f"The page size, from 0 to {MAX_KEYS}.")
]
AfterKey = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="Only keys after the one with this `id`, usually the last of the page before."
    ),
]


async def api_keys(
    info: RequestInfo, first: KeyPageSize = 100, after: AfterKey = None
) -> list[ApiKey]:
    """Return a page of the keys of the caller's organization, newest first."""
    context = info.context
    rows = await list_keys(context.database, context.caller.organization_id, first, after)
    return [to_api_key(row) for row in rows]
