"""The schema's history ends where the declared schema is."""

import asyncio
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from app.db.engine import Database
from app.db.migrations import alembic_config, upgrade
from app.db.tables import Base
from tests.conftest import cloned


@pytest.fixture
async def empty(postgres: str, template: str) -> Any:
    """A database without any table."""
    async with cloned(postgres, template) as database:
        async with database.owner_transaction() as tx:
            await tx.execute(text("DROP SCHEMA public CASCADE"))
            await tx.execute(text("CREATE SCHEMA public"))
        yield database


async def tables(database: Database) -> set[str]:
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        )
        return set(found.scalars())


async def test_upgrading_leads_to_the_declared_schema(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
        drift = await tx.run_sync(differences)

    assert drift == []


def differences(connection: Connection) -> list[Any]:
    # Partitions are part of the table that is declared.
    options = {"compare_server_default": True, "include_object": _is_declared}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def _is_declared(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    return kind != "table" or not str(name).startswith("event_")


async def test_names_are_ordered_by_code_point_whatever_the_database_does(
    database: Database,
) -> None:
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text("""
                SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_name IN ('name', 'username')
                  AND collation_name IS DISTINCT FROM 'C'
            """)
        )

    assert found.all() == []


async def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    for _ in range(2):
        async with empty.owner_transaction() as tx:
            await upgrade(tx)

    assert "workspace_month" in await tables(empty)


async def test_two_processes_may_upgrade_at_once(empty: Database) -> None:
    async def one() -> None:
        async with empty.owner_transaction() as tx:
            await upgrade(tx)

    await asyncio.gather(one(), one(), one())

    assert "workspace_month" in await tables(empty)


async def test_downgrading_leaves_no_table(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
    async with empty.owner_transaction() as tx:
        await tx.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))

    assert await tables(empty) == {"alembic_version"}


async def test_an_upgrade_does_not_wait_for_ever_for_a_table_in_use(empty: Database) -> None:
    async with empty.owner_transaction() as tx:
        await upgrade(tx)
        waits = await tx.execute(text("SHOW lock_timeout"))

    assert waits.scalar_one() == "5s"
