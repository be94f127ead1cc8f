"""The operator: the actor of commands, named after the operating system's user."""

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from app.clock import system_clock
from app.db.engine import Database
from app.domain.audit import OPERATOR, Action, Actor
from app.domain.callers import Caller, Scope
from app.services.audit import append_audit_event
from app.services.organizations import find_organization
from app.settings import Settings, read_sudo_user
from resolvers.context import Context


def current_operator() -> Actor:
    """Return the actor of this command: `operator:` and the operating system's user.

    Under sudo it is the user who called it.
    """
    user = read_sudo_user() if os.geteuid() == 0 else None
    return Actor(f"{OPERATOR.username}:{user or _account_name()}", OPERATOR.interface)


def _account_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # Containers run under ids without an account.
        return str(os.getuid())


@asynccontextmanager
async def operator_context(
    database: Database, settings: Settings, organization: str, action: Action
) -> AsyncIterator[Context]:
    """Read as the operator, who has access to every organization; record what was read."""
    found, by = await find_organization(database, organization), current_operator()
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
            await append_audit_event(tx, by, replace(event, action=action), context.now)
