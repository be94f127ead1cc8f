"""SCIM's commands: each changes what clients see, and says so to the feed, in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson

from app.db.engine import Database, Transaction
from app.db.organizations import lock_organization
from app.db.scim import (
    StoredResource,
    count_resources,
    delete_resource,
    select_last_change,
    select_memberships,
    select_resources,
    select_usernames,
    write_members,
    write_resource,
)
from app.domain.errors import InvalidBatch
from app.domain.scim.errors import ScimChanged, ScimNotFound, ScimRefusal, ScimTaken
from app.domain.scim.facts import SOURCE, Fact, group_facts, left, user_facts
from app.domain.scim.filters import Equals, Filter, parsed
from app.domain.scim.schemas import GROUP, USER, Resource, Schema, checked
from app.services.file_import import store_lines

MOST_RESULTS = 1_000
_TICK = timedelta(microseconds=1)


class Shown(NamedTuple):
    """A resource as a client sees it, less its address, and its version."""

    schema: Schema
    resource: Resource
    version: int


class Found(NamedTuple):
    """A part of a list: how many there are in all, and those from `start` (1 is the first)."""

    total: int
    start: int
    resources: Sequence[Shown]


async def find_resource(
    database: Database, organization_id: UUID, schema: Schema, resource_id: str
) -> Shown:
    """A resource.

    Raises:
        ScimNotFound: There is none with that id.
    """
    async with database.transaction(organization_id) as tx:
        [shown] = await _shown(tx, organization_id, schema, [
            await _stored(tx, organization_id, schema, resource_id)
        ])  # fmt: skip
        return shown


async def list_resources(
    database: Database,
    organization_id: UUID,
    schema: Schema,
    *,
    matching: str | None,
    start: int,
    count: int,
) -> Found:
    """Resources that match a filter, the oldest first, from `start` on, at most `count`.

    Raises:
        ScimRefusal: The filter cannot be read.
    """
    chosen, equals = parsed(schema, matching) if matching else (None, None)
    offset, limit = max(start, 1) - 1, min(max(count, 0), MOST_RESULTS)
    async with database.transaction(organization_id) as tx:
        if chosen is None:
            total = await count_resources(tx, organization_id, schema.name)
            rows = await select_resources(
                tx, organization_id, schema.name, offset=offset, limit=limit
            )
            return Found(total, offset + 1, await _shown(tx, organization_id, schema, rows))
        found = await _matching(tx, organization_id, schema, chosen, equals)
        return Found(len(found), offset + 1, found[offset : offset + limit])


async def _matching(
    tx: Transaction,
    organization_id: UUID,
    schema: Schema,
    chosen: Filter,
    equals: Equals | None,
) -> list[Shown]:
    by, value = _index(schema, equals)
    rows = await select_resources(tx, organization_id, schema.name, by=by, value=value)
    shown = await _shown(tx, organization_id, schema, rows)
    return [each for each in shown if chosen(each.resource)]


def _index(schema: Schema, equals: Equals | None) -> tuple[str | None, Any]:
    """The column that answers a filter by itself, if one does."""
    if equals is None:
        return None, None
    if equals.attribute == schema.naming:
        return "name_key", _name_key(schema, equals.value)
    if equals.attribute == "externalId":
        return "external_id", equals.value
    return None, None


async def create_resource(
    database: Database, organization_id: UUID, schema: Schema, body: Any, now: datetime
) -> Shown:
    """Create a resource.

    Raises:
        ScimRefusal: The body is none of that kind, or names members that do not exist.
        ScimTaken: The name belongs to another.
    """
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        blank = StoredResource(uuid4(), schema.name, "", None, {}, 0, at, at)
        return await _write(tx, organization_id, schema, None, blank, checked(schema, body), at)


async def change_resource(
    database: Database,
    organization_id: UUID,
    schema: Schema,
    resource_id: str,
    change: Callable[[Resource], Resource],
    *,
    expected: Collection[str] | None,
    now: datetime,
) -> Shown:
    """Replace or patch a resource; one that stays as it was keeps its version.

    Args:
        database: The store.
        organization_id: Whose it is.
        schema: Its kind.
        resource_id: Its id.
        change: From what a client may say of it now to what it says.
        expected: The versions that the client knows; None when it does not matter.
        now: When.

    Raises:
        ScimChanged: It has another version.
        ScimNotFound: There is none with that id.
        ScimRefusal, ScimTaken: As for `create_resource`.
    """
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        stored = await _stored(tx, organization_id, schema, resource_id)
        _insist_on_version(stored, expected)
        [shown] = await _shown(tx, organization_id, schema, [stored])
        said = checked(schema, shown.resource)
        changed = change(said)
        if changed == said:
            return shown
        return await _write(tx, organization_id, schema, said, stored, changed, at)


async def remove_resource(
    database: Database,
    organization_id: UUID,
    schema: Schema,
    resource_id: str,
    *,
    expected: Collection[str] | None,
    now: datetime,
) -> None:
    """Delete a user; or end a group's memberships, for its workspace and what it holds remain.

    Raises:
        ScimChanged: It has another version.
        ScimNotFound: There is none with that id.
    """
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        stored = await _stored(tx, organization_id, schema, resource_id)
        _insist_on_version(stored, expected)
        if schema is USER:
            facts: list[Fact] = [("user.deleted", {"username": stored.name})]
        else:
            members = await select_memberships(
                tx, organization_id, "group_id", [stored.resource_id]
            )
            facts = list(left(stored.name, {row.user_name for row in members}))
        await delete_resource(tx, organization_id, stored.resource_id, at)
        removed = stored._replace(version=stored.version + 1)
        await _tell(tx, organization_id, removed, facts, at)


async def _begin(tx: Transaction, organization_id: UUID, now: datetime) -> datetime:
    """One change at a time, each later than the one before, whatever the clocks say."""
    await lock_organization(tx, organization_id)
    last = await select_last_change(tx, organization_id)
    return now if last is None else max(now, last + _TICK)


async def _stored(
    tx: Transaction, organization_id: UUID, schema: Schema, resource_id: str
) -> StoredResource:
    try:
        key = UUID(resource_id)
    except ValueError:
        key = None
    if key is not None:
        for row in await select_resources(
            tx, organization_id, schema.name, by="resource_id", value=key
        ):
            return row
    raise ScimNotFound(f"There is no {schema.name} with the id {resource_id[:80]!r}.", "")


def _insist_on_version(stored: StoredResource, expected: Collection[str] | None) -> None:
    if expected is not None and str(stored.version) not in expected:
        named = " or ".join(sorted(expected))
        raise ScimChanged(
            f"The resource has the version {stored.version} now, and not {named[:80]}.", ""
        )


async def _shown(
    tx: Transaction, organization_id: UUID, schema: Schema, rows: Sequence[StoredResource]
) -> list[Shown]:
    column = "user_id" if schema is USER else "group_id"
    ids = [row.resource_id for row in rows]
    related: dict[UUID, list[Resource]] = defaultdict(list)
    for row in await select_memberships(tx, organization_id, column, ids) if ids else ():
        if schema is USER:
            shown = {"value": str(row.group_id), "display": row.group_name, "type": "direct"}
            related[row.user_id].append(shown)
        else:
            shown = {"value": str(row.user_id), "type": "User"}
            related[row.group_id].append(shown)
    return [Shown(schema, _resource(schema, row, related[row.resource_id]), row.version)
            for row in rows]  # fmt: skip


def _resource(schema: Schema, row: StoredResource, related: list[Resource]) -> Resource:
    resource: Resource = {"schemas": [schema.id], "id": str(row.resource_id), **row.attributes}
    if related:
        resource["groups" if schema is USER else "members"] = related
    resource["meta"] = {
        "resourceType": schema.name,
        "created": _written(row.created_at),
        "lastModified": _written(row.modified_at),
        "version": f'W/"{row.version}"',
    }
    return resource


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def _write(
    tx: Transaction,
    organization_id: UUID,
    schema: Schema,
    before: Resource | None,
    stored: StoredResource,
    said: Resource,
    at: datetime,
) -> Shown:
    name = said[schema.naming]
    await _insist_on_free_name(tx, organization_id, schema, stored.resource_id, name)
    attributes = {key: value for key, value in said.items() if key != "members"}
    written = stored._replace(
        name=name,
        external_id=said.get("externalId"),
        attributes=attributes,
        version=stored.version + 1,
        modified_at=at,
    )
    if schema is USER:
        facts = await _facts_of_user(tx, organization_id, before, written, said)
    else:
        facts = await _facts_of_group(tx, organization_id, before, written, said)
    await _tell(tx, organization_id, written, facts, at)
    [shown] = await _shown(tx, organization_id, schema, [written])
    return shown


async def _insist_on_free_name(
    tx: Transaction, organization_id: UUID, schema: Schema, own: UUID, name: str
) -> None:
    key = _name_key(schema, name)
    for row in await select_resources(tx, organization_id, schema.name, by="name_key", value=key):
        if row.resource_id != own:
            raise ScimTaken(
                f"{schema.naming}: {name!r} belongs to the {schema.name} {row.resource_id}.",
                "uniqueness",
            )


def _name_key(schema: Schema, name: str) -> str:
    return name if schema.find(schema.naming).case_exact else name.lower()


async def _facts_of_user(
    tx: Transaction,
    organization_id: UUID,
    before: Resource | None,
    written: StoredResource,
    said: Resource,
) -> list[Fact]:
    await write_resource(tx, organization_id, written, _name_key(USER, written.name))
    groups = await select_memberships(tx, organization_id, "user_id", [written.resource_id])
    return list(user_facts(before, said, [row.group_name for row in groups]))


async def _facts_of_group(
    tx: Transaction,
    organization_id: UUID,
    before: Resource | None,
    written: StoredResource,
    said: Resource,
) -> list[Fact]:
    members = await _members(tx, organization_id, said)
    former = await select_memberships(tx, organization_id, "group_id", [written.resource_id])
    await write_resource(tx, organization_id, written, _name_key(GROUP, written.name))
    await write_members(tx, organization_id, written.resource_id, members)
    was = (before[GROUP.naming], {row.user_name for row in former}) if before else None
    return list(group_facts(was, (written.name, {*members.values()})))


async def _members(tx: Transaction, organization_id: UUID, said: Resource) -> dict[UUID, str]:
    """The users that a group names as its members.

    Raises:
        ScimRefusal: A member is no user here.
    """
    ids: dict[UUID, str] = {}
    for index, member in enumerate(said.get("members", ())):
        stated = member.get("value") or member.get("$ref", "").rpartition("/")[2]
        try:
            ids[UUID(stated)] = f"members[{index}]"
        except ValueError:
            raise ScimRefusal(
                f"members[{index}]: the id of a user is needed; got {stated[:80]!r}."
            ) from None
    names = await select_usernames(tx, organization_id, ids) if ids else {}
    for key, where in ids.items():
        if key not in names:
            raise ScimRefusal(f"{where}: there is no user with the id {key}.")
    return names


async def _tell(
    tx: Transaction,
    organization_id: UUID,
    resource: StoredResource,
    facts: Sequence[Fact],
    at: datetime,
) -> None:
    """Send facts to the feed, with ids that follow from the resource and its version."""
    lines = list(_lines(resource, facts, at))
    if not lines:
        return
    try:
        await store_lines(tx, organization_id, [lines], at)
    except InvalidBatch as refusal:
        told = "; ".join(f"{each.field}: {each.message}" for each in refusal.problems[:3])
        raise ScimRefusal(f"The feed refuses this: {told}.") from None


def _lines(resource: StoredResource, facts: Sequence[Fact], at: datetime) -> Iterator[bytes]:
    for index, (kind, said) in enumerate(facts):
        yield orjson.dumps(
            {
                "specversion": "1.0",
                "id": f"{resource.resource_id}/{resource.version}/{index}",
                "source": SOURCE,
                "type": kind,
                "time": at,
                "data": said,
            }
        )
