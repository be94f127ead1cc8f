"""Organizations: created, listed, found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.db.audit import insert_entries
from app.db.engine import Database
from app.db.organizations import (
    insert_organization,
    select_organization,
    select_organizations,
)
from app.domain.audit import OPERATOR, Action, AuditEvent, to_audit_entry
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import AlreadyExists, InvalidArgument, OrganizationNotFound
from app.domain.events import NUL
from app.domain.ids import organization_id

DEFAULT = DEFAULT_ORGANIZATION


async def create_organization(database: Database, name: str, now: datetime) -> None:
    """Create an organization.

    Raises:
        AlreadyExists: The name is taken.
        InvalidArgument: The name is empty or too long.
    """
    if not 1 <= len(name) <= 200 or NUL in name:
        raise InvalidArgument(
            f"name: must be 1 to 200 characters without U+0000; got {name[:80]!r}."
        )
    async with database.transaction(organization_id(name)) as tx:
        if not await insert_organization(tx, organization_id(name), name, now):
            raise AlreadyExists(f"There is an organization {name!r} already.")
        act = AuditEvent(organization_id(name), Action.ORGANIZATION_CREATED, name)
        await insert_entries(tx, act.organization_id, [to_audit_entry(act, OPERATOR, now)])


async def ensure_default_organization(database: Database, now: datetime) -> None:
    """Create the organization that an install starts with, unless it is there."""
    async with database.transaction(organization_id(DEFAULT)) as tx:
        # An insertion waits for whoever changes the row that it finds: a long import, say.
        if await select_organization(tx, DEFAULT) is None:
            await insert_organization(tx, organization_id(DEFAULT), DEFAULT, now)


async def list_organizations(database: Database) -> Sequence[Any]:
    """All organizations, by name."""
    async with database.unscoped_read() as tx:
        return await select_organizations(tx)


async def find_organization(database: Database, name: str) -> Any:
    """The organization of that name, with what its facts cover.

    Raises:
        OrganizationNotFound: There is none.
    """
    async with database.transaction(organization_id(name)) as tx:
        found = await select_organization(tx, name)
    if found is None:
        raise OrganizationNotFound(f"There is no organization {name!r}.")
    return found
