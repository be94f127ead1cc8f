"""The migrations create the declared schema, once, and refuse stores of development versions."""

import asyncio
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from app.db.engine import Database
from app.db.migrations import alembic_config, is_behind, list_pending, upgrade
from app.db.tables import Base
from app.domain.errors import StoreFromPrerelease
from tests.conftest import ClonedDatabase


@pytest.fixture
async def empty(postgres: str, template: str) -> Any:
    """A database without any table."""
    async with ClonedDatabase(postgres, template) as database:
        async with database.owner_transaction() as tx:
            await tx.execute(text("DROP SCHEMA public CASCADE"))
            await tx.execute(text("CREATE SCHEMA public"))
        yield database


async def select_tables(database: Database) -> set[str]:
    async with database.owner_transaction() as tx:
        names = await tx.scalars(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        )
        return set(names)


async def test_upgrade_creates_the_declared_schema(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
        differences = await tx.run_sync(compare_with_declared)

    assert differences == []


def compare_with_declared(connection: Connection) -> list[Any]:
    options = {"compare_server_default": True, "include_object": _is_declared}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def _is_declared(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    """Partitions are not declared; they follow from their table."""
    return kind != "table" or not str(name).startswith("event_")


async def test_month_rows_leave_room_on_their_pages(database: Database) -> None:
    async with database.owner_transaction() as tx:
        rows = await tx.execute(
            text("SELECT relname, reloptions FROM pg_class WHERE relname LIKE '%\\_month'")
        )
        options = {row.relname: row.reloptions for row in rows}

    assert options == {
        "workspace_month": ["fillfactor=80"],
        "project_month": ["fillfactor=80"],
        "member_month": ["fillfactor=80"],
        "user_month": ["fillfactor=60"],
    }


async def test_names_sort_by_code_point_whatever_the_database_collation(
    database: Database,
) -> None:
    async with database.owner_transaction() as tx:
        others = await tx.execute(
            text("""
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_name IN ('name', 'username')
                  AND collation_name IS DISTINCT FROM 'C'
            """)
        )

    assert others.all() == []


async def test_a_second_upgrade_changes_nothing(empty: Database) -> None:
    for _ in range(2):
        async with empty.owner_transaction() as tx:
            await upgrade(tx)

    assert "workspace_month" in await select_tables(empty)


async def test_several_processes_can_upgrade_at_once(empty: Database) -> None:
    async def upgrade_once() -> None:
        async with empty.owner_transaction() as tx:
            await upgrade(tx)

    await asyncio.gather(upgrade_once(), upgrade_once(), upgrade_once())

    assert "workspace_month" in await select_tables(empty)


async def test_downgrade_leaves_no_table(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
    async with empty.owner_transaction() as tx:
        await tx.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))

    assert await select_tables(empty) == {"alembic_version"}


async def test_upgrade_sets_a_lock_timeout(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
        lock_timeout = await tx.execute(text("SHOW lock_timeout"))

    assert lock_timeout.scalar_one() == "5s"


@pytest.mark.parametrize("revision", ["0001", "0011"])
async def test_a_store_of_a_development_version_is_refused(empty: Database, revision: str) -> None:
    async with empty.owner_transaction() as tx:
        await tx.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        await tx.execute(
            text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision}
        )

    expected = (
        f"The store's schema, {revision}, is of a development version before 1.0 and cannot be "
        "upgraded: start with a new data folder or an empty database."
    )
    for action in (upgrade, list_pending):
        with pytest.raises(StoreFromPrerelease) as refused:
            async with empty.owner_transaction() as tx:
                await action(tx)
        assert str(refused.value) == expected

    assert is_behind(revision)
    assert await select_tables(empty) == {"alembic_version"}
