"""While a long import locks an organization, the rest of the service continues."""

import asyncio
from uuid import UUID

from sqlalchemy import text

from app.db.engine import Database
from app.db.organizations import lock_organization
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.services.organizations import ensure_default_organization, find_organization
from tests.conftest import FixedClock, GraphQLClient, MakeKey

OTHER_REQUESTS_SECONDS = 5
_RAISE_REVISION = text("""
    UPDATE organization SET revision = revision + 1 WHERE organization_id = :own
""")


async def test_commands_keys_and_reads_do_not_wait_for_an_import(
    database: Database, graphql: GraphQLClient, make_key: MakeKey, clock: FixedClock
) -> None:
    organization_id: UUID = (
        await find_organization(database, DEFAULT_ORGANIZATION)
    ).organization_id
    async with database.transaction(organization_id) as tx:
        await lock_organization(tx, organization_id)
        await tx.execute(_RAISE_REVISION, {"own": organization_id})

        async with asyncio.timeout(OTHER_REQUESTS_SECONDS):
            await ensure_default_organization(database, clock.now)
            await make_key("ann", Scope.ADMIN)
            await graphql('{ chargebackReport(month: "2026-10") { numberOfWorkspaces } }')
            log = await graphql("{ auditLog(first: 5) { action } }")

    assert "REPORT_READ" in {each["action"] for each in log["auditLog"]}
