"""Find, list and filter SCIM resources."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from app.db.engine import Database, Transaction
from app.db.scim import (
    StoredResource,
    count_members,
    count_resources,
    find_resources,
    select_resources,
    select_resources_after,
)
from app.domain.errors import NotFound
from app.domain.scim.errors import InvalidScimRequest, show_value
from app.domain.scim.filters import Equality, Filter
from app.domain.scim.members import MAX_MEMBERS
from app.domain.scim.resources import GROUPS, ResourceKind
from app.domain.text import NUL
from app.services.scim.documents import ResourceView, load_views, to_document

MAX_RESULTS = 1_000
_FILTERED_AT_ONCE = 500


class ResourcePage(NamedTuple):
    """A part of a list, and how many resources the whole list has."""

    total: int
    resources: Sequence[ResourceView]


async def find_resource(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    resource_id: str,
    *,
    with_relation: bool,
) -> ResourceView:
    """Return a resource.

    Raises:
        NotFound: There is none with that id.
    """
    async with database.transaction(organization_id) as tx:
        stored = await require_resource(tx, organization_id, kind, resource_id)
        [view] = await load_views(tx, organization_id, kind, [stored], with_relation=with_relation)
        return view


async def require_resource(
    tx: Transaction, organization_id: UUID, kind: ResourceKind, resource_id: str
) -> StoredResource:
    """Return a stored resource.

    Raises:
        NotFound: There is none with that id.
    """
    equality = Equality("id", resource_id)
    for row in await _find_indexed(tx, organization_id, kind, [equality]) or ():
        return row
    raise NotFound(f"There is no {kind.name} with the id {show_value(resource_id)}.")


async def list_resources(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    *,
    matching: Filter | None,
    offset: int,
    limit: int,
    with_relation: bool,
) -> ResourcePage:
    """Return a part of the resources that match a filter, the oldest first.

    Raises:
        InvalidScimRequest: The groups of the page have too many members to show.
    """
    async with database.transaction(organization_id) as tx:
        if matching is None:
            total = await count_resources(tx, organization_id, kind.name)
            rows = await select_resources(
                tx, organization_id, kind.name, offset=offset, limit=limit
            )
        else:
            found = await _filter(tx, organization_id, matching)
            total, rows = len(found), found[offset : offset + limit]
        if with_relation and kind is GROUPS and len(rows) > 1:
            await _limit_members(tx, organization_id, rows)
        views = await load_views(tx, organization_id, kind, rows, with_relation=with_relation)
        return ResourcePage(total, views)


async def _limit_members(
    tx: Transaction, organization_id: UUID, groups: Sequence[StoredResource]
) -> None:
    count = await count_members(tx, organization_id, [row.resource_id for row in groups])
    if count > MAX_MEMBERS:
        raise InvalidScimRequest(
            f"A list shows at most {MAX_MEMBERS} members, and these {len(groups)} groups have "
            f"{count}: use excludedAttributes=members, or a smaller count.",
            "tooMany",
        )


async def _filter(
    tx: Transaction, organization_id: UUID, matching: Filter
) -> list[StoredResource]:
    found: list[StoredResource] = []
    async for rows in _candidates(tx, organization_id, matching):
        views = await load_views(
            tx, organization_id, matching.kind, rows, with_relation=matching.reads_relation
        )
        found += await asyncio.to_thread(_select_matching, matching, views)
    return found


async def _candidates(
    tx: Transaction, organization_id: UUID, matching: Filter
) -> AsyncIterator[Sequence[StoredResource]]:
    """Yield the resources that an index finds, or else all of them, some at a time."""
    indexed = await _find_indexed(tx, organization_id, matching.kind, matching.equalities)
    if indexed is not None:
        yield indexed
        return
    last = None
    while rows := await select_resources_after(
        tx, organization_id, matching.kind.name, last, _FILTERED_AT_ONCE
    ):
        yield rows
        last = rows[-1]


async def _find_indexed(
    tx: Transaction,
    organization_id: UUID,
    kind: ResourceKind,
    equalities: Iterable[Equality],
) -> Sequence[StoredResource] | None:
    """Return the resources with one of the values; None if no index has such values."""
    for attribute, value in equalities:
        key: object = value
        if attribute == "id":
            column, key = "resource_id", _parse_id(value)
        elif attribute == kind.naming.lower():
            column, key = "name_key", kind.name_key(value)
        elif attribute == "externalid":
            column = "external_id"
        else:
            continue
        if key is None or not _is_storable(value):
            return ()
        return await find_resources(tx, organization_id, kind.name, column, key)
    return None


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_storable(text: str) -> bool:
    """Return whether PostgreSQL can compare a text, which has neither U+0000 nor surrogates."""
    return NUL not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _select_matching(matching: Filter, views: Sequence[ResourceView]) -> list[StoredResource]:
    return [view.stored for view in views if matching.matches(_to_comparable(view))]


def _to_comparable(view: ResourceView) -> dict[str, object]:
    """Return a document with instants, which a filter compares as such."""
    document = to_document(view, "")
    times = {"created": view.stored.created_at, "lastModified": view.stored.modified_at}
    return {**document, "meta": {**document["meta"], **times}}
