"""SCIM resources with their memberships, and the JSON documents that clients see."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from app.db.engine import Transaction
from app.db.scim import GroupReference, StoredResource, select_groups, select_members
from app.domain.scim.resources import GROUPS, USERS, ResourceKind


class ResourceView(NamedTuple):
    """A stored resource with the groups of a user, or the ids of the members of a group."""

    kind: ResourceKind
    stored: StoredResource
    groups: Sequence[GroupReference] = ()
    members: Sequence[UUID] = ()


async def load_views(
    tx: Transaction,
    organization_id: UUID,
    kind: ResourceKind,
    rows: Sequence[StoredResource],
    *,
    with_relation: bool,
) -> list[ResourceView]:
    """Return the views of several resources; without memberships unless they are wanted."""
    ids = [row.resource_id for row in rows]
    if not ids or not with_relation:
        return [ResourceView(kind, row) for row in rows]
    if kind is USERS:
        groups = await select_groups(tx, organization_id, ids)
        return [ResourceView(kind, row, groups=groups.get(row.resource_id, ())) for row in rows]
    members = await select_members(tx, organization_id, ids)
    return [ResourceView(kind, row, members=members.get(row.resource_id, ())) for row in rows]


def to_document(view: ResourceView, base_url: str) -> dict[str, Any]:
    """Return a resource in JSON with absolute addresses."""
    kind, row = view.kind, view.stored
    document: dict[str, Any] = {"schemas": [kind.schema], "id": str(row.resource_id)}
    document |= orjson.loads(row.attributes)
    if view.groups:
        document["groups"] = [
            {
                "value": str(group.group_id),
                "$ref": f"{base_url}{GROUPS.endpoint}/{group.group_id}",
                "display": group.name,
                "type": "direct",
            }
            for group in view.groups
        ]
    if view.members:
        document["members"] = [
            {"value": user_id, "$ref": f"{base_url}{USERS.endpoint}/{user_id}", "type": "User"}
            for user_id in map(str, view.members)
        ]
    document["meta"] = {
        "resourceType": kind.name,
        "created": _format_instant(row.created_at),
        "lastModified": _format_instant(row.modified_at),
        "location": f"{base_url}{kind.endpoint}/{row.resource_id}",
        "version": f'W/"{row.version}"',
    }
    return document


def _format_instant(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
