"""What a migration works out from the facts is what storing them says."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from alembic import command
from sqlalchemy import Connection, text

from app.db.engine import Database
from app.db.migrations import alembic_config
from app.demo.generate import OrganizationShape, generate_events
from app.domain.audit import OPERATOR
from app.domain.months import Month
from app.services.ingestion import accept_lines
from app.services.months import close_month, verify_month
from app.services.organizations import DEFAULT, find_organization
from tests.conftest import FixedClock, event

UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
_TABLES = ("workspace_month", "project_month", "member_month", "user_month", "month_close")


async def test_what_is_not_known_follows_from_the_facts(
    database: Database, clock: FixedClock
) -> None:
    organization_id = (await find_organization(database, DEFAULT)).organization_id
    shape = OrganizationShape(workspaces=6, users=30, months=6)
    lines = [*islice(generate_events(shape, seed=3, until=UNTIL), 6_000)]
    for number, at in enumerate(("2026-06-07T00:00:00Z", "2026-08-01T00:00:00Z")):
        lines += [
            event("user.upserted", at, username=f"stranger-{number}"),
            event(
                "user.upserted",
                "2026-09-01T00:00:00Z",
                username=f"stranger-{number}",
                createdAt="2026-08-01T00:00:00Z",
            ),
        ]
    await accept_lines(database, organization_id, [lines], clock.now)
    months = await _months(database)
    await close_month(database, organization_id, months[1], by=OPERATOR, now=clock.now)
    stored = await _rows(database)
    assert any(row.unmeasured for row in stored["workspace_month"])
    assert any(row.created_at_is_first_sign for row in stored["user_month"])

    await _migrate(database, "downgrade", "0008")
    await _migrate(database, "upgrade", "head")

    assert await _rows(database) == stored
    assert (await verify_month(database, organization_id, months[1])).differences == []


async def _migrate(database: Database, way: str, revision: str) -> None:
    def run(connection: Connection) -> None:
        getattr(command, way)(alembic_config(connection), revision)

    async with database.owner_transaction() as tx:
        await tx.run_sync(run)


async def _months(database: Database) -> list[Month]:
    async with database.owner_transaction() as tx:
        found = await tx.scalars(text("SELECT DISTINCT month FROM workspace_month ORDER BY month"))
        return [Month.containing(day) for day in found]


async def _rows(database: Database) -> dict[str, list[Any]]:
    async with database.owner_transaction() as tx:
        return {
            table: sorted((await tx.execute(text(f"SELECT * FROM {table}"))).all(), key=str)
            for table in _TABLES
        }
