"""Read reports as the operator of the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from app.clock import system_clock
from app.db.engine import Database
from app.domain.audit import Action
from app.domain.callers import Caller, Scope
from app.services.audit import append_audit_event
from app.services.organizations import find_organization
from app.settings import Settings
from resolvers.context import Context


@asynccontextmanager
async def operator_context(
    database: Database, settings: Settings, organization: str, action: Action
) -> AsyncIterator[Context]:
    """Read as the operator, who has access to every organization; record what was read."""
    found = await find_organization(database, organization)
    caller = Caller(
        organization_id=found.organization_id,
        organization=organization,
        username="operator",
        key_id="",
        scopes=frozenset({Scope.ADMIN}),
        is_admin=True,
        is_listed_admin=True,
    )
    async with database.snapshot(found.organization_id) as snapshot:
        context = Context(caller, database, snapshot, settings, system_clock())
        yield context
    async with database.transaction(found.organization_id) as tx:
        for event in context.audit_events:
            await append_audit_event(tx, context.actor, replace(event, action=action), context.now)
