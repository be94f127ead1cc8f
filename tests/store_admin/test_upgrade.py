"""Upgrades: dry run, lock timeout, and work on the schema of a later release."""

import asyncpg
import pytest

from app.db.engine import Database
from app.db.migrations import upgrade
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import StoreUnavailable
from app.postgres.staging import select_row_counts
from app.services.file_import import import_lines
from app.services.organizations import find_organization
from app.services.store_admin import (
    dry_run_upgrade,
    pending_migrations,
    upgrade_store,
    verify_store,
)
from tests.conftest import NOW
from tests.store_admin.conftest import MakeStore, create_events, execute, ignore_month


@pytest.fixture
async def empty(make_store: MakeStore) -> str:
    """A database without any table."""
    url = await make_store()
    await execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return url


async def test_a_dry_run_lists_the_statements_and_changes_nothing(empty: str) -> None:
    pending = await pending_migrations(empty)

    statements = await dry_run_upgrade(empty)

    assert pending[0] == "0001_initial Initial schema"
    assert any(statement.startswith("CREATE TABLE organization") for statement in statements)
    assert await select_row_counts(empty) == {}

    await upgrade_store(empty)
    assert await pending_migrations(empty) == []
    assert "organization" in await select_row_counts(empty)


async def test_a_table_in_use_stops_the_upgrade_with_the_reason(make_store: MakeStore) -> None:
    url = await make_store()
    await execute(url, "ALTER TABLE session DISABLE ROW LEVEL SECURITY")
    user = await asyncpg.connect(url)
    async with user.transaction():
        await user.execute("LOCK TABLE session IN ACCESS SHARE MODE")
        with pytest.raises(StoreUnavailable, match="in use for longer than 1 s"):
            await upgrade_store(url, lock_seconds=1)
    await user.close()

    await upgrade_store(url, lock_seconds=1)


LATER = """
    ALTER TABLE workspace ADD COLUMN cost_center text;
    ALTER TABLE event ADD COLUMN received_from text DEFAULT 'unknown' NOT NULL;
    CREATE TABLE budget (organization_id uuid PRIMARY KEY REFERENCES organization);
    CREATE INDEX event_by_time ON event (organization_id, occurred_at);
    UPDATE alembic_version SET version_num = '9999'
"""
"""Changes that the rules allow the next release: additions only."""


async def test_this_release_works_on_the_schema_of_the_next(
    make_store: MakeStore,
) -> None:
    url = await make_store(*create_events())
    await execute(url, LATER)

    database = Database(url, pool_size=2)
    async with database.owner_transaction() as tx:
        await upgrade(tx)
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    accepted = await import_lines(database, found.organization_id, iter([create_events()]), NOW)
    await database.close()

    assert (accepted.accepted, accepted.duplicates) == (4, 0)
    await verify_store(url, NOW, ignore_month)
    assert await pending_migrations(url) == []
