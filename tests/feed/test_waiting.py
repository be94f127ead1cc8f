"""While a long import holds an organization, the rest of the service goes on."""

import asyncio
from uuid import UUID

from sqlalchemy import text

from app.db.engine import Database
from app.db.organizations import lock_organization
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.services.organizations import ensure_default_organization, find_organization
from tests.conftest import FixedClock, GraphQLClient, MakeKey

OTHERS_SECONDS = 5


async def test_commands_begin_keys_are_made_and_reads_are_noted_meanwhile(
    database: Database, graphql: GraphQLClient, make_key: MakeKey, clock: FixedClock
) -> None:
    organization_id: UUID = (
        await find_organization(database, DEFAULT_ORGANIZATION)
    ).organization_id
    async with database.transaction(organization_id) as tx:
        await lock_organization(tx, organization_id)
        await tx.execute(text("UPDATE organization SET revision = revision + 1"))

        async with asyncio.timeout(OTHERS_SECONDS):
            await ensure_default_organization(database, clock.now)
            await make_key("ann", Scope.ADMIN)
            await graphql('{ chargebackReport(month: "2026-10") { numberOfWorkspaces } }')
            noted = await graphql("{ auditLog(first: 5) { action } }")

    assert "REPORT_READ" in {each["action"] for each in noted["auditLog"]}
