"""Organizations: create, list and find them."""

from collections.abc import Sequence
from datetime import datetime

from app.db.audit import insert_entries
from app.db.engine import Database
from app.db.organizations import (
    OrganizationRow,
    insert_organization,
    select_organization,
    select_organizations,
)
from app.domain.audit import OPERATOR, Action, Actor, AuditEvent, to_audit_entry
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import AlreadyExists, OrganizationNotFound
from app.domain.ids import organization_id
from app.domain.text import require_text


async def create_organization(
    database: Database, name: str, now: datetime, *, by: Actor = OPERATOR
) -> None:
    """Create an organization.

    Raises:
        AlreadyExists: The name is in use.
        InvalidArgument: The name is empty, too long, or contains U+0000.
    """
    require_text("name", name, 200)
    async with database.transaction(organization_id(name)) as tx:
        if not await insert_organization(tx, organization_id(name), name, now):
            raise AlreadyExists(f"There is already an organization {name!r}.")
        event = AuditEvent(organization_id(name), Action.ORGANIZATION_CREATED, name)
        await insert_entries(tx, event.organization_id, [to_audit_entry(event, by, now)])


async def ensure_default_organization(database: Database, now: datetime) -> None:
    """Create the organization that every install starts with, unless it exists."""
    default_id = organization_id(DEFAULT_ORGANIZATION)
    async with database.transaction(default_id) as tx:
        # Select first: an insert would wait for a transaction that has the row locked, such as a
        # long import.
        if await select_organization(tx, DEFAULT_ORGANIZATION) is None:
            await insert_organization(tx, default_id, DEFAULT_ORGANIZATION, now)


async def list_organizations(database: Database) -> Sequence[OrganizationRow]:
    """Return all organizations, sorted by name."""
    async with database.unscoped_read() as tx:
        return await select_organizations(tx)


async def find_organization(database: Database, name: str) -> OrganizationRow:
    """Return the organization of that name, with the period that its events cover.

    Raises:
        OrganizationNotFound: There is none.
    """
    async with database.transaction(organization_id(name)) as tx:
        found = await select_organization(tx, name)
    if found is None:
        raise OrganizationNotFound(f"There is no organization {name!r}.")
    return found
