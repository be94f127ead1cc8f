"""Statements for the SCIM tables: users and groups as clients sent them, and their memberships.

Memberships come as arrays: a group may have a hundred thousand members, and a row object for each
would block the event loop.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import OWNER


class StoredResource(NamedTuple):
    """A user or group; `attributes` is JSON, without the members."""

    resource_id: UUID
    kind: str
    name: str
    external_id: str | None
    attributes: str
    version: int
    created_at: datetime
    modified_at: datetime


class GroupReference(NamedTuple):
    """A group that a user belongs to."""

    group_id: UUID
    name: str


_COLUMNS = (
    "resource_id, kind, name, external_id, CAST(attributes AS text), version, created_at, "
    "modified_at"
)
_IS_LIVE = "organization_id = :organization_id AND kind = :kind AND deleted_at IS NULL"
_ORGANIZATION = "organization_id = CAST(:organization_id AS uuid)"


async def select_resources(
    tx: AsyncConnection, organization_id: UUID, kind: str, *, offset: int, limit: int
) -> Sequence[StoredResource]:
    """Return a page of the resources of a kind, the oldest first."""
    found = await tx.execute(
        text(f"""
            SELECT {_COLUMNS} FROM scim_resource WHERE {_IS_LIVE}
            ORDER BY created_at, resource_id OFFSET :offset LIMIT :limit
        """),
        {"organization_id": organization_id, "kind": kind, "offset": offset, "limit": limit},
    )
    return [StoredResource(*row) for row in found]


async def select_resources_after(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: str,
    last: StoredResource | None,
    limit: int,
) -> Sequence[StoredResource]:
    """Return the resources of a kind that follow one of them, the oldest first."""
    follows = "AND (created_at, resource_id) > (:created_at, :resource_id)" if last else ""
    position = {"created_at": last.created_at, "resource_id": last.resource_id} if last else {}
    found = await tx.execute(
        text(f"""
            SELECT {_COLUMNS} FROM scim_resource WHERE {_IS_LIVE} {follows}
            ORDER BY created_at, resource_id LIMIT :limit
        """),
        {"organization_id": organization_id, "kind": kind, "limit": limit, **position},
    )
    return [StoredResource(*row) for row in found]


async def find_resources(
    tx: AsyncConnection, organization_id: UUID, kind: str, column: str, value: object
) -> Sequence[StoredResource]:
    """Return the resources of a kind with a value in an indexed column, the oldest first.

    `column` is `resource_id`, `name_key` or `external_id`.
    """
    found = await tx.execute(
        text(f"""
            SELECT {_COLUMNS} FROM scim_resource WHERE {_IS_LIVE} AND {column} = :value
            ORDER BY created_at, resource_id
        """),
        {"organization_id": organization_id, "kind": kind, "value": value},
    )
    return [StoredResource(*row) for row in found]


async def count_resources(tx: AsyncConnection, organization_id: UUID, kind: str) -> int:
    """Return how many resources of a kind there are."""
    found = await tx.execute(
        text(f"SELECT count(*) FROM scim_resource WHERE {_IS_LIVE}"),
        {"organization_id": organization_id, "kind": kind},
    )
    return int(found.scalar_one())


async def select_last_change(tx: AsyncConnection, organization_id: UUID) -> datetime | None:
    """Return when a resource was last changed or deleted."""
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
    """Insert or update a resource; no two live ones of a kind share a `name_key`."""
    await tx.execute(
        text("""
            INSERT INTO scim_resource (
                organization_id, resource_id, kind, name, name_key, external_id, attributes,
                version, created_at, modified_at
            ) VALUES (
                :organization_id, :resource_id, :kind, :name, :name_key, :external_id,
                CAST(CAST(:attributes AS text) AS jsonb), :version, :created_at, :modified_at
            )
            ON CONFLICT (organization_id, resource_id) DO UPDATE SET
                name = excluded.name, name_key = excluded.name_key,
                external_id = excluded.external_id, attributes = excluded.attributes,
                version = excluded.version, modified_at = excluded.modified_at
        """),
        {"organization_id": organization_id, **resource._asdict(), "name_key": name_key},
    )


async def delete_resource(
    tx: AsyncConnection, organization_id: UUID, resource_id: UUID, now: datetime
) -> None:
    """Delete a resource and its memberships; a row without content keeps the time."""
    parameters = {"organization_id": organization_id, "resource_id": resource_id}
    await tx.execute(
        text("""
            DELETE FROM scim_member WHERE organization_id = :organization_id
              AND (group_id = :resource_id OR user_id = :resource_id)
        """),
        parameters,
    )
    await tx.execute(
        text("""
            UPDATE scim_resource SET
                name = '', name_key = '', external_id = NULL, attributes = '{}',
                modified_at = :now, deleted_at = :now
            WHERE organization_id = :organization_id AND resource_id = :resource_id
        """),
        {**parameters, "now": now},
    )


async def select_members(
    tx: AsyncConnection, organization_id: UUID, group_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[UUID]]:
    """Return the ids of the members of each group that has any, sorted."""
    found = await tx.execute(
        text(f"""
            SELECT group_id, array_agg(user_id ORDER BY user_id) AS user_ids FROM scim_member
            WHERE {_ORGANIZATION} AND group_id = ANY(CAST(:group_ids AS uuid[]))
            GROUP BY group_id
        """),
        {"organization_id": organization_id, "group_ids": list(group_ids)},
    )
    return {row.group_id: row.user_ids for row in found}


async def count_members(
    tx: AsyncConnection, organization_id: UUID, group_ids: Collection[UUID]
) -> int:
    """Return how many members several groups have together."""
    found = await tx.execute(
        text(f"""
            SELECT count(*) FROM scim_member
            WHERE {_ORGANIZATION} AND group_id = ANY(CAST(:group_ids AS uuid[]))
        """),
        {"organization_id": organization_id, "group_ids": list(group_ids)},
    )
    return int(found.scalar_one())


async def select_groups(
    tx: AsyncConnection, organization_id: UUID, user_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[GroupReference]]:
    """Return the groups of each user who is in any, sorted by name."""
    found = await tx.execute(
        text(f"""
            SELECT user_id, array_agg(group_id ORDER BY name, group_id),
                   array_agg(name ORDER BY name, group_id)
            FROM scim_member
            JOIN scim_resource ON scim_resource.{_ORGANIZATION} AND resource_id = group_id
            WHERE scim_member.{_ORGANIZATION} AND user_id = ANY(CAST(:user_ids AS uuid[]))
            GROUP BY user_id
        """),
        {"organization_id": organization_id, "user_ids": list(user_ids)},
    )
    return {
        user_id: [*map(GroupReference, group_ids, names)] for user_id, group_ids, names in found
    }


async def select_member_names(
    tx: AsyncConnection, organization_id: UUID, group_id: UUID
) -> Sequence[str]:
    """Return the usernames of a group's members, sorted."""
    found = await tx.execute(
        text(f"""
            SELECT coalesce(array_agg(name ORDER BY name), '{{}}') FROM scim_member
            JOIN scim_resource ON scim_resource.{_ORGANIZATION} AND resource_id = user_id
            WHERE scim_member.{_ORGANIZATION} AND group_id = :group_id
        """),
        {"organization_id": organization_id, "group_id": group_id},
    )
    return _names(found.scalar_one())


async def find_missing_user(
    tx: AsyncConnection, organization_id: UUID, user_ids: Collection[UUID]
) -> UUID | None:
    """Return an id that belongs to no user; None if there is none."""
    found = await tx.execute(
        text(f"""
            SELECT named.user_id FROM unnest(CAST(:user_ids AS uuid[])) AS named (user_id)
            LEFT JOIN scim_resource ON {_IS_LIVE} AND resource_id = named.user_id
            WHERE resource_id IS NULL LIMIT 1
        """),
        {"organization_id": organization_id, "kind": "User", "user_ids": list(user_ids)},
    )
    missing: UUID | None = found.scalar_one_or_none()
    return missing


async def insert_members(
    tx: AsyncConnection, organization_id: UUID, group_id: UUID, user_ids: Collection[UUID]
) -> Sequence[str]:
    """Add members to a group; return the usernames of those who are new, sorted."""
    added = await tx.execute(
        text(f"""
            INSERT INTO scim_member (organization_id, group_id, user_id)
            SELECT organization_id, CAST(:group_id AS uuid), user_id
            FROM {OWNER} CROSS JOIN unnest(CAST(:user_ids AS uuid[])) AS named (user_id)
            ON CONFLICT DO NOTHING
            RETURNING user_id
        """),
        {"organization_id": organization_id, "group_id": group_id, "user_ids": list(user_ids)},
    )
    return await _select_names(tx, organization_id, added.scalars().all())


async def delete_members(
    tx: AsyncConnection,
    organization_id: UUID,
    group_id: UUID,
    user_ids: Collection[UUID],
    *,
    others: bool = False,
) -> Sequence[str]:
    """Remove members of a group, or all `others`; return their usernames, sorted."""
    condition = "<> ALL" if others else "= ANY"
    removed = await tx.execute(
        text(f"""
            DELETE FROM scim_member
            WHERE {_ORGANIZATION} AND group_id = :group_id
              AND user_id {condition} (CAST(:user_ids AS uuid[]))
            RETURNING user_id
        """),
        {"organization_id": organization_id, "group_id": group_id, "user_ids": list(user_ids)},
    )
    return await _select_names(tx, organization_id, removed.scalars().all())


async def _select_names(
    tx: AsyncConnection, organization_id: UUID, user_ids: Sequence[UUID]
) -> Sequence[str]:
    if not user_ids:
        return ()
    found = await tx.execute(
        text(f"""
            SELECT coalesce(array_agg(name ORDER BY name), '{{}}') FROM scim_resource
            WHERE {_ORGANIZATION} AND resource_id = ANY(CAST(:user_ids AS uuid[]))
        """),
        {"organization_id": organization_id, "user_ids": user_ids},
    )
    return _names(found.scalar_one())


def _names(names: Any) -> Sequence[str]:
    found: Sequence[str] = names
    return found
