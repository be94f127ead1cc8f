"""Statements of SCIM's own tables: what clients said of users and groups, and who is in which."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class StoredResource(NamedTuple):
    """A user or group as it is stored; `attributes` less the members."""

    resource_id: UUID
    kind: str
    name: str
    external_id: str | None
    attributes: dict[str, Any]
    version: int
    created_at: datetime
    modified_at: datetime


_COLUMNS = ", ".join(StoredResource._fields)
_OF_KIND = "organization_id = :organization_id AND kind = :kind AND deleted_at IS NULL"


async def select_resources(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: str,
    *,
    by: str | None = None,
    value: Any = None,
    offset: int = 0,
    limit: int | None = None,
) -> Sequence[StoredResource]:
    """Resources of a kind, the oldest first: all, some, or those with a value in a column."""
    chosen = f"AND {by} = :value" if by else ""
    found = await tx.execute(
        text(f"""
            SELECT {_COLUMNS} FROM scim_resource WHERE {_OF_KIND} {chosen}
            ORDER BY created_at, resource_id
            OFFSET :offset LIMIT CAST(CAST(:limit AS text) AS bigint)
        """),
        {
            "organization_id": organization_id,
            "kind": kind,
            "offset": offset,
            "limit": None if limit is None else str(limit),
            **({"value": value} if by else {}),
        },
    )
    return [StoredResource(*row) for row in found]


async def count_resources(tx: AsyncConnection, organization_id: UUID, kind: str) -> int:
    """How many there are of a kind."""
    found = await tx.execute(
        text(f"SELECT count(*) FROM scim_resource WHERE {_OF_KIND}"),
        {"organization_id": organization_id, "kind": kind},
    )
    return int(found.scalar_one())


async def select_last_change(tx: AsyncConnection, organization_id: UUID) -> datetime | None:
    """When anything last changed, deletions included."""
    found = await tx.execute(
        text("""
            SELECT max(modified_at) FROM scim_resource WHERE organization_id = :organization_id
        """),
        {"organization_id": organization_id},
    )
    latest: datetime | None = found.scalar_one()
    return latest


async def write_resource(
    tx: AsyncConnection, organization_id: UUID, resource: StoredResource, name_key: str
) -> None:
    """Store a resource, new or changed; `name_key` is what no two of a kind share."""
    await tx.execute(
        text(f"""
            INSERT INTO scim_resource (organization_id, {_COLUMNS}, name_key)
            VALUES (:organization_id, :resource_id, :kind, :name, :external_id,
                    CAST(CAST(:attributes AS text) AS jsonb), :version, :created_at, :modified_at,
                    :name_key)
            ON CONFLICT (organization_id, resource_id) DO UPDATE SET
                name = excluded.name, name_key = excluded.name_key,
                external_id = excluded.external_id, attributes = excluded.attributes,
                version = excluded.version, modified_at = excluded.modified_at
        """),
        {
            "organization_id": organization_id,
            **resource._asdict(),
            "attributes": orjson.dumps(resource.attributes).decode(),
            "name_key": name_key,
        },
    )


async def delete_resource(
    tx: AsyncConnection, organization_id: UUID, resource_id: UUID, now: datetime
) -> None:
    """Forget a resource, but for its id and when it went."""
    await tx.execute(
        text("""
            DELETE FROM scim_member WHERE organization_id = :organization_id
              AND (group_id = :resource_id OR user_id = :resource_id)
        """),
        {"organization_id": organization_id, "resource_id": resource_id},
    )
    await tx.execute(
        text("""
            UPDATE scim_resource SET
                name = '', name_key = '', external_id = NULL, attributes = '{}',
                modified_at = :now, deleted_at = :now
            WHERE organization_id = :organization_id AND resource_id = :resource_id
        """),
        {"organization_id": organization_id, "resource_id": resource_id, "now": now},
    )


async def select_memberships(
    tx: AsyncConnection, organization_id: UUID, by: str, ids: Collection[UUID]
) -> Sequence[Any]:
    """Who is in which group: group_id, user_id, group_name, user_name; by names.

    `by` is `group_id` or `user_id`.
    """
    found = await tx.execute(
        text(f"""
            SELECT group_id, user_id, its_group.name AS group_name, its_user.name AS user_name
            FROM scim_member
            JOIN scim_resource AS its_group ON its_group.organization_id = :organization_id
             AND its_group.resource_id = group_id
            JOIN scim_resource AS its_user ON its_user.organization_id = :organization_id
             AND its_user.resource_id = user_id
            WHERE scim_member.organization_id = :organization_id
              AND {by} = ANY(CAST(:ids AS uuid[]))
            ORDER BY group_name, user_name, user_id
        """),
        {"organization_id": organization_id, "ids": list(ids)},
    )
    return found.all()


async def write_members(
    tx: AsyncConnection, organization_id: UUID, group_id: UUID, user_ids: Collection[UUID]
) -> None:
    """Replace the members of a group."""
    parameters = {"organization_id": organization_id, "group_id": group_id}
    await tx.execute(
        text("""
            DELETE FROM scim_member
            WHERE organization_id = :organization_id AND group_id = :group_id
              AND user_id <> ALL(CAST(:user_ids AS uuid[]))
        """),
        {**parameters, "user_ids": list(user_ids)},
    )
    await tx.execute(
        text("""
            INSERT INTO scim_member (organization_id, group_id, user_id)
            SELECT CAST(:organization_id AS uuid), CAST(:group_id AS uuid), user_id
            FROM unnest(CAST(:user_ids AS uuid[])) AS its (user_id)
            ON CONFLICT DO NOTHING
        """),
        {**parameters, "user_ids": list(user_ids)},
    )


async def select_usernames(
    tx: AsyncConnection, organization_id: UUID, user_ids: Collection[UUID]
) -> dict[UUID, str]:
    """The usernames of those of these users that exist."""
    found = await tx.execute(
        text(f"""
            SELECT resource_id, name FROM scim_resource
            WHERE {_OF_KIND} AND resource_id = ANY(CAST(:user_ids AS uuid[]))
        """),
        {"organization_id": organization_id, "kind": "User", "user_ids": list(user_ids)},
    )
    return {row.resource_id: row.name for row in found}
