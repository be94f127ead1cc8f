"""Row-level security isolates organizations, even for the owner of the tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.db.engine import Database
from app.db.migrations import upgrade
from app.db.row_security import ROLE, SIGN_IN_TABLES
from app.db.statements import Statement
from app.db.tables import Base, Workspace
from app.domain.audit import OPERATOR
from app.domain.callers import Scope
from app.domain.errors import Forbidden, StoreNotIsolated
from app.domain.ids import organization_id
from app.postgres.database import with_database_name
from app.services.key_loader import KeyLoader
from app.services.organizations import create_organization, ensure_default_organization
from app.services.retention import prepare_partitions, prune_events
from app.services.sessions import authenticate_key, start_session
from app.settings import Settings
from tests.conftest import (
    NOW,
    Feed,
    FixedClock,
    MakeKey,
    create_api_key,
    create_client,
    event,
    execute_as_superuser,
)

pytestmark = pytest.mark.own_sql

AT = "2026-10-10T00:00:00Z"
OWN, OTHER = organization_id("default"), organization_id("other")
TABLES = sorted(name for name in Base.metadata.tables)


async def fill(database: Database, organization: str) -> None:
    """Store rows in each table that events fill."""
    await Feed(database, FixedClock(), organization)(
        event("user.upserted", AT, username="ann", email="a@x.test", role="ADMIN"),
        event("member.added", AT, workspace="lab", username="ann"),
        event(
            "experiment.created",
            AT,
            experiment="e",
            workspace="lab",
            project="p",
            username="ann",
            sizeBytes=1,
        ),
        event("usage.recorded", AT, username="ann", channel="ui"),
    )


async def count(database: Database, table: str, scope: UUID, of: UUID | None = None) -> int:
    """Return how many rows of a table a transaction of an organization sees."""
    where = "" if of is None else f" WHERE organization_id = '{of}'"
    async with database.transaction(scope) as tx:
        return int((await tx.execute(text(f"SELECT count(*) FROM {table}{where}"))).scalar_one())


@pytest.fixture
async def two_organizations(
    database: Database, feed: Feed, make_key: MakeKey, other_organization: str
) -> None:
    """Two organizations with rows in each table that events and keys fill."""
    for name in ("default", other_organization):
        await fill(database, name)
        key = await make_key("ann", organization=name)
        caller = await authenticate_key(KeyLoader(database), key, Settings.load(), NOW)
        await start_session(database, caller, lasting=timedelta(hours=1), now=NOW, by=OPERATOR)


async def test_every_table_has_policies_or_is_inaccessible(database: Database) -> None:
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text(f"""
                SELECT relname, relrowsecurity, relispartition,
                       EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) AS has_policy,
                       has_table_privilege('{ROLE}', c.oid, 'SELECT,INSERT,UPDATE,DELETE')
                         AS reachable
                FROM pg_class c
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'f')
            """)
        )
        tables = found.all()

    assert {row.relname for row in tables} >= {*TABLES, "alembic_version"}
    unprotected = [
        row.relname
        for row in tables
        if row.reachable and not (row.relrowsecurity and row.has_policy)
    ]
    assert unprotected == []
    assert [row.relname for row in tables if not row.reachable and not row.relispartition] == [
        "alembic_version"
    ]


async def test_the_role_cannot_bypass_policies(database: Database) -> None:
    async with database.transaction(OWN) as tx:
        found = await tx.execute(
            text("""
                SELECT current_user AS name, rolsuper, rolbypassrls, rolcanlogin, rolcreaterole,
                       (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owned
                FROM pg_roles WHERE rolname = current_user
            """)
        )
        role = found.one()

    assert tuple(role) == (ROLE, False, False, False, False, 0)


async def count_by_organization(database: Database, table: str) -> dict[UUID, int]:
    """Return the number of rows of a table by organization."""
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text(f"SELECT organization_id, count(*) FROM {table} GROUP BY organization_id")
        )
        return {row[0]: row[1] for row in found}


@pytest.mark.usefixtures("two_organizations")
async def test_a_transaction_sees_only_rows_of_its_organization(database: Database) -> None:
    for table in TABLES:
        rows = await count_by_organization(database, table)
        assert await count(database, table, OWN) == rows.get(OWN, 0)
        assert await count(database, table, OTHER) == rows.get(OTHER, 0)
        assert await count(database, table, OWN, of=OTHER) == 0
        assert await count(database, table, organization_id("unknown")) == 0


@pytest.mark.usefixtures("two_organizations")
async def test_authentication_sees_only_its_tables_of_all_organizations(
    database: Database,
) -> None:
    for table in TABLES:
        async with database.unscoped_read() as tx:
            seen = (await tx.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        rows = await count_by_organization(database, table)
        assert seen == (sum(rows.values()) if table in SIGN_IN_TABLES else 0)


@pytest.mark.usefixtures("two_organizations")
async def test_rows_of_another_organization_cannot_be_written(database: Database) -> None:
    for statement in ("UPDATE platform_user SET email = 'x'", "DELETE FROM workspace_month"):
        async with database.transaction(OWN) as tx:
            touched = await tx.execute(text(f"{statement} WHERE organization_id = '{OTHER}'"))
            assert touched.rowcount == 0
    for statement in (
        f"UPDATE platform_user SET organization_id = '{OTHER}'",
        f"INSERT INTO workspace VALUES ('{OTHER}', gen_random_uuid(), 'theirs')",
        "ALTER TABLE platform_user DISABLE ROW LEVEL SECURITY",
        "TRUNCATE event",
        "DROP TABLE event",
    ):
        with pytest.raises(DBAPIError, match=r"row-level security|must be owner|permission"):
            async with database.transaction(OWN) as tx:
                await tx.execute(text(statement))
    async with database.unscoped_read() as tx:
        assert (await tx.execute(text("UPDATE organization SET name = 'x'"))).rowcount == 0


@pytest.mark.usefixtures("two_organizations")
async def test_a_snapshot_reads_only_organizations_that_it_was_allowed(
    database: Database,
) -> None:
    names = Statement.of(select(Workspace.organization_id))
    async with database.snapshot(OWN) as snapshot:
        assert [row[0] for row in await snapshot.fetch_rows(names, {})] == [OWN]
        with pytest.raises(Forbidden):
            await snapshot.fetch_rows(names, {}, organization_id=OTHER)
        snapshot.allow_organization(OTHER)
        others = await snapshot.fetch_rows(names, {}, organization_id=OTHER)
        assert [row[0] for row in others] == [OTHER]
        assert [row[0] for row in await snapshot.fetch_rows(names, {})] == [OWN]


async def test_the_scope_ends_with_the_transaction(database: Database) -> None:
    async with database.transaction(OWN):
        pass
    async with database.connection() as connection:
        found = await connection.execute(
            text("""
                SELECT current_user = session_user,
                       nullif(current_setting('chargeback.organization_id', true), '')
            """)
        )
        assert tuple(found.one()) == (True, None)


@asynccontextmanager
async def owned_by(postgres: str, name: str, rights: str) -> AsyncIterator[Database]:
    """Open a new, empty database as a role that owns it and has these rights."""
    await execute_as_superuser(postgres, f"CREATE ROLE {name} LOGIN NOSUPERUSER {rights}")
    await execute_as_superuser(postgres, f"CREATE DATABASE {name} OWNER {name}")
    database = Database(
        with_database_name(postgres, name).replace("postgres@", f"{name}@"), pool_size=3
    )
    try:
        yield database
    finally:
        await database.close()
        await execute_as_superuser(postgres, f"DROP DATABASE {name} WITH (FORCE)")
        await execute_as_superuser(postgres, f"REVOKE {ROLE} FROM {name} CASCADE")
        await execute_as_superuser(postgres, f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("name", "rights", "role"),
    [
        ("plain_owner", "NOCREATEROLE", "plain_owner"),
        ("member_owner", f"NOCREATEROLE IN ROLE {ROLE}", ROLE),
    ],
)
@pytest.mark.usefixtures("template")  # It creates the role.
async def test_policies_apply_to_the_owner_of_the_database(
    postgres: str, name: str, rights: str, role: str
) -> None:
    async with owned_by(postgres, name, rights) as database:
        for _ in range(2):
            async with database.owner_transaction() as tx:
                await upgrade(tx)
        await ensure_default_organization(database, NOW)
        await create_organization(database, "other", NOW)
        await fill(database, "default")
        await fill(database, "other")

        for table in ("event", "workspace_month", "organization"):
            assert await count(database, table, OWN, of=OTHER) == 0
            assert await count(database, table, OWN) > 0
        async with database.transaction(OWN) as tx:
            assert (await tx.execute(text("SELECT current_user"))).scalar_one() == role
        async with database.owner_transaction() as tx:
            found = await tx.execute(text("SELECT count(DISTINCT organization_id) FROM event"))
            assert found.scalar_one() == 2
        # Without a scope, as with psql and the password.
        async with database.connection() as connection:
            found = await connection.execute(text("SELECT count(*) FROM event"))
            assert (found.scalar_one() > 0) == (role == ROLE)
        # The second request looks the key up in the organization that the first one found.
        clock = FixedClock()
        key = await create_api_key(database, clock, "root", Scope.ADMIN)
        async with create_client(database, Settings.load(admin_user_list="root"), clock) as client:
            for _ in range(2):
                response = await client.get(
                    "/api/admin/chargeback/report", headers={"Authorization": key}
                )
                assert response.status_code == 200, response.text
        # The usage was stored before its year had a partition.
        await prepare_partitions(database, NOW)
        pruned = await prune_events(database, after_days=400, now=NOW + timedelta(days=800))
        assert [year for year, _ in pruned] == [2026]


async def test_an_owner_who_may_create_roles_is_granted_the_role(postgres: str) -> None:
    async with owned_by(postgres, "role_maker", "CREATEROLE") as database:
        # Another install has created the role on this server, so the owner needs ADMIN OPTION.
        await execute_as_superuser(postgres, f"GRANT {ROLE} TO role_maker WITH ADMIN OPTION")
        await execute_as_superuser(postgres, f"REVOKE SET OPTION FOR {ROLE} FROM role_maker")
        async with database.owner_transaction() as tx:
            await upgrade(tx)
        async with database.transaction(OWN) as tx:
            assert (await tx.execute(text("SELECT current_user"))).scalar_one() == ROLE


async def test_an_owner_who_bypasses_policies_is_rejected(postgres: str) -> None:
    async with owned_by(postgres, "free_owner", "NOCREATEROLE BYPASSRLS") as database:
        with pytest.raises(StoreNotIsolated, match="ALTER ROLE free_owner"):
            async with database.owner_transaction() as tx:
                await upgrade(tx)
