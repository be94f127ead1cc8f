"""Change SCIM resources; the change and its events are one transaction."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

import orjson

from app.db.engine import Database, Transaction
from app.db.organizations import lock_organization, set_batch_timeouts
from app.db.rate_card import inherit_assignment
from app.db.scim import (
    StoredResource,
    delete_members,
    delete_resource,
    find_missing_user,
    find_resources,
    insert_members,
    select_groups,
    select_last_change,
    select_member_names,
    write_resource,
)
from app.domain.errors import AlreadyExists, Forbidden, PreconditionFailed
from app.domain.events import AnyEvent, UserUpserted
from app.domain.ids import user_id
from app.domain.months import Month
from app.domain.role_guard import RoleGuard
from app.domain.scim import facts
from app.domain.scim.errors import InvalidScimRequest
from app.domain.scim.facts import Fact, UserProperties
from app.domain.scim.members import MemberChanges
from app.domain.scim.parsing import ResourceState, parse_resource
from app.domain.scim.patches import patch_resource as apply_patch
from app.domain.scim.resources import GROUPS, USERS, Attributes, ResourceKind
from app.domain.sources import SCIM_SOURCE
from app.ingest.store import store_events
from app.services.analyze_trigger import TransactionAnalyzeTrigger
from app.services.scim.documents import ResourceView, load_views
from app.services.scim.reads import require_resource

_TICK = timedelta(microseconds=1)
_EVENTS_AT_ONCE = 500
"""Storing more at once would block the event loop for too long."""


async def create_resource(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    body: object,
    *,
    now: datetime,
    guard: RoleGuard | None,
) -> ResourceView:
    """Create a resource.

    Args:
        database: The store.
        organization_id: The organization.
        kind: The kind of resource.
        body: The resource.
        now: When.
        guard: Finds changes of roles, which are refused; None if the sender may make them.

    Raises:
        AlreadyExists: The name belongs to another.
        Forbidden: The sender may not change roles.
        InvalidScimRequest: The body is not such a resource, or names a member who does not exist.
    """
    state = await asyncio.to_thread(parse_resource, kind, body)
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        blank = StoredResource(uuid4(), kind.name, "", None, "{}", 0, at, at)
        written = await _Writer(tx, organization_id, at, guard).write(kind, blank, None, state)
        [view] = await load_views(tx, organization_id, kind, [written], with_relation=True)
        return view


async def replace_resource(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    resource_id: str,
    body: object,
    *,
    expected: Collection[str] | None,
    now: datetime,
    guard: RoleGuard | None,
) -> ResourceView:
    """Replace a resource; one that stays the same keeps its version.

    Args:
        database: The store.
        organization_id: The organization.
        kind: The kind of resource.
        resource_id: Its id.
        body: The resource that replaces it.
        expected: The versions that the client knows; None for any.
        now: When.
        guard: Finds changes of roles, which are refused; None if the sender may make them.

    Raises:
        AlreadyExists, Forbidden, InvalidScimRequest: As for `create_resource`.
        NotFound: There is no resource with that id.
        PreconditionFailed: It has another version.
    """
    state = await asyncio.to_thread(parse_resource, kind, body)
    return await _change(
        database, organization_id, kind, resource_id, lambda _: state, expected, now,
        guard=guard, with_relation=True,
    )  # fmt: skip


async def patch_resource(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    resource_id: str,
    body: object,
    *,
    expected: Collection[str] | None,
    now: datetime,
    guard: RoleGuard | None,
    with_relation: bool,
) -> ResourceView:
    """Apply the operations of a PATCH; otherwise as `replace_resource`."""

    def change(attributes: Attributes) -> ResourceState:
        return apply_patch(kind, attributes, body)

    return await _change(
        database, organization_id, kind, resource_id, change, expected, now,
        guard=guard, with_relation=with_relation,
    )  # fmt: skip


async def _change(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    resource_id: str,
    change: Callable[[Attributes], ResourceState],
    expected: Collection[str] | None,
    now: datetime,
    *,
    guard: RoleGuard | None,
    with_relation: bool,
) -> ResourceView:
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        stored = await require_resource(tx, organization_id, kind, resource_id)
        _require_version(stored, expected)
        before = orjson.loads(stored.attributes)
        state = await asyncio.to_thread(change, before)
        written = await _Writer(tx, organization_id, at, guard).write(kind, stored, before, state)
        [view] = await load_views(
            tx, organization_id, kind, [written], with_relation=with_relation
        )
        return view


async def remove_resource(
    database: Database,
    organization_id: UUID,
    kind: ResourceKind,
    resource_id: str,
    *,
    expected: Collection[str] | None,
    now: datetime,
) -> None:
    """Delete a user, or end the memberships of a group, whose workspace and content remain.

    Raises:
        NotFound: There is no resource with that id.
        PreconditionFailed: It has another version.
    """
    async with database.transaction(organization_id) as tx:
        at = await _begin(tx, organization_id, now)
        stored = await require_resource(tx, organization_id, kind, resource_id)
        _require_version(stored, expected)
        if kind is USERS:
            stated = facts.deleted_user(stored.name)
        else:
            names = await select_member_names(tx, organization_id, stored.resource_id)
            stated = facts.removed_members(stored.name, names)
        await delete_resource(tx, organization_id, stored.resource_id, at)
        await _Writer(tx, organization_id, at).store_facts(stated)


async def _begin(tx: Transaction, organization_id: UUID, now: datetime) -> datetime:
    """Lock the organization; return a time later than every earlier change, whatever the clock."""
    await set_batch_timeouts(tx)
    await lock_organization(tx, organization_id)
    last = await select_last_change(tx, organization_id)
    return now if last is None else max(now, last + _TICK)


def _require_version(stored: StoredResource, expected: Collection[str] | None) -> None:
    if expected is not None and str(stored.version) not in expected:
        named = " or ".join(sorted(expected))
        raise PreconditionFailed(
            f"The resource now has the version {stored.version}, and not {named[:80]}."
        )


class _Writer:
    """Writes resources and the events about them within one transaction, all at one time."""

    def __init__(
        self,
        tx: Transaction,
        organization_id: UUID,
        at: datetime,
        guard: RoleGuard | None = None,
    ) -> None:
        self._tx, self._organization_id, self._at = tx, organization_id, at
        self._guard = guard
        self._analyze = TransactionAnalyzeTrigger(tx, organization_id)

    async def write(
        self,
        kind: ResourceKind,
        stored: StoredResource,
        before: Attributes | None,
        state: ResourceState,
    ) -> StoredResource:
        """Store a resource with its new state and return it; unchanged if nothing changes.

        Args:
            kind: The kind of resource.
            stored: The resource as it is stored; a new one has the version 0.
            before: Its attributes; None for a new one.
            state: What it is to become.
        """
        name = state.attributes[kind.naming]
        written = stored._replace(
            name=name,
            external_id=state.attributes.get("externalId"),
            attributes=orjson.dumps(state.attributes).decode(),
            version=stored.version + 1,
            modified_at=self._at,
        )
        await self._require_free_name(kind, written)
        if kind is USERS:
            return await self._write_user(stored, written, before, state.attributes)
        return await self._write_group(stored, written, before, state)

    async def _require_free_name(self, kind: ResourceKind, resource: StoredResource) -> None:
        key = kind.name_key(resource.name)
        for row in await find_resources(
            self._tx, self._organization_id, kind.name, "name_key", key
        ):
            if row.resource_id != resource.resource_id:
                raise AlreadyExists(
                    f"{kind.naming}: {resource.name!r} belongs to the {kind.name} "
                    f"{row.resource_id}."
                )

    async def _write_user(
        self,
        stored: StoredResource,
        written: StoredResource,
        before: Attributes | None,
        after: Attributes,
    ) -> StoredResource:
        if before == after:
            return stored
        key = USERS.name_key(written.name)
        await write_resource(self._tx, self._organization_id, written, key)
        properties = UserProperties.of(after)
        if before is None:
            await self.store_facts(facts.created_user(properties))
            return written
        groups = await select_groups(self._tx, self._organization_id, [written.resource_id])
        workspaces = [group.name for group in groups.get(written.resource_id, ())]
        if stored.name != written.name:
            source, heir = user_id(stored.name), user_id(written.name)
            month = Month.containing(self._at)
            await inherit_assignment(self._tx, self._organization_id, source, heir, month)
        await self.store_facts(
            facts.changed_user(UserProperties.of(before), properties, workspaces)
        )
        return written

    async def _write_group(
        self,
        stored: StoredResource,
        written: StoredResource,
        before: Attributes | None,
        state: ResourceState,
    ) -> StoredResource:
        key, is_renamed = GROUPS.name_key(written.name), stored.name != written.name
        former = await self._member_names(stored) if before and is_renamed else ()
        if before is None:
            await write_resource(self._tx, self._organization_id, written, key)
        removed, added = await self._write_members(stored.resource_id, state.members)
        if before is not None:
            if before == state.attributes and not removed and not added:
                return stored
            await write_resource(self._tx, self._organization_id, written, key)
        if is_renamed:
            await self.store_facts(facts.removed_members(stored.name, former))
            await self.store_facts(facts.created_workspace(written.name))
            added = await self._member_names(written)
        else:
            await self.store_facts(facts.removed_members(written.name, removed))
        await self.store_facts(facts.added_members(written.name, added))
        return written

    async def _member_names(self, group: StoredResource) -> Sequence[str]:
        return await select_member_names(self._tx, self._organization_id, group.resource_id)

    async def _write_members(
        self, group_id: UUID, changes: MemberChanges
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Change the members of a group; return the usernames of those who left and who joined."""
        tx, organization_id, added = self._tx, self._organization_id, changes.added
        removed_names: Sequence[str] = ()
        added_names: Sequence[str] = ()
        if added and (missing := await find_missing_user(tx, organization_id, added)):
            raise InvalidScimRequest(f"members: there is no user with the id {missing}.")
        if changes.are_replaced:
            removed_names = await delete_members(tx, organization_id, group_id, added, others=True)
        elif changes.removed:
            removed_names = await delete_members(tx, organization_id, group_id, changes.removed)
        if added:
            added_names = await insert_members(tx, organization_id, group_id, added)
        return removed_names, added_names

    async def store_facts(self, stated: Iterable[Fact]) -> None:
        """Store facts as events, some at a time.

        Event ids are random: predictable ones could be used by others first, and then the
        directory's own events would be duplicates.
        """
        remaining = iter(stated)
        while facts_ := list(islice(remaining, _EVENTS_AT_ONCE)):
            self._require_permitted(facts_)
            events = [self._to_event(fact) for fact in facts_]
            is_new = await store_events(self._tx, self._organization_id, events, self._at)
            if not all(is_new):
                raise RuntimeError("An event of a SCIM request was taken for a duplicate.")
            await self._analyze.record_events(len(events))

    def _require_permitted(self, stated: Iterable[Fact]) -> None:
        if self._guard is None:
            return
        for _, data in stated:
            problem = self._guard.find_problem(data) if isinstance(data, UserUpserted) else None
            if problem is not None:
                field, message = problem
                raise Forbidden(f"{field}: {message}.")

    def _to_event(self, fact: Fact) -> AnyEvent:
        event: AnyEvent = fact.event_class(
            specversion="1.0", id=uuid4().hex, source=SCIM_SOURCE, time=self._at, data=fact.data
        )
        return event
