"""The service's role may do with each table what the service does, and nothing else."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.engine import Database
from app.db.migrations import upgrade
from app.db.row_security import ROLE
from app.domain.audit import OPERATOR
from app.domain.errors import InvalidArgument
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.months import close_month, list_close_history, reopen_month
from tests.conftest import NOW, Feed, event

pytestmark = pytest.mark.own_sql

OWN = organization_id("default")
# S: select, I: insert, U: update, D: delete.
EXPECTED = {
    "api_key": "SIU",
    "assignment": "SIU",
    "audit_log": "SI",
    "charge": "SI",
    "closed_document": "SIU",
    "correction": "SIUD",
    "cost_centre": "SIU",
    "event": "SI",
    "feed_day": "SIU",
    "feed_source": "SIU",
    "member_month": "SIUD",
    "membership": "SIU",
    "month_close": "SIUD",
    "month_close_history": "SI",
    "organization": "SIU",
    "platform_user": "SIU",
    "price": "SIU",
    "project": "SIU",
    "project_month": "SIUD",
    "rate": "SIU",
    "scim_member": "SIUD",
    "scim_resource": "SIU",
    "session": "SID",
    "source": "SIU",
    "source_checkpoint": "SIUD",
    "source_run": "SIUD",
    "usage_archive": "S",
    "user_month": "SIUD",
    "workspace": "SIU",
    "workspace_month": "SIUD",
}
_SELECT_PRIVILEGES = text("""
    SELECT relname, string_agg(
        left(privilege_type, 1), '' ORDER BY position(left(privilege_type, 1) IN 'SIUD'))
    FROM pg_class CROSS JOIN aclexplode(relacl) AS acl
    WHERE relnamespace = 'public'::regnamespace AND grantee IN (0, to_regrole(:role))
    GROUP BY relname
""")


async def test_the_role_has_exactly_these_privileges(database: Database) -> None:
    async with database.owner_transaction() as tx:
        found = await tx.execute(_SELECT_PRIVILEGES, {"role": ROLE})
        assert {row[0]: row[1] for row in found} == EXPECTED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET data = '{}'",
        "DELETE FROM event",
        "DELETE FROM month_close_history",
        "UPDATE month_close_history SET reason = 'x'",
        "DELETE FROM month_close",
        "DELETE FROM charge",
        "DELETE FROM platform_user",
        "INSERT INTO usage_archive SELECT * FROM usage_archive",
        "CREATE TABLE mine (id integer)",
    ],
)
async def test_the_role_cannot_change_what_must_stay(
    database: Database, feed: Feed, statement: str
) -> None:
    await feed(event("workspace.upserted", "2026-09-02T00:00:00Z", name="lab"))
    await close_month(database, OWN, Month(2026, 9), by=OPERATOR, now=NOW)

    with pytest.raises(DBAPIError, match=r"permission denied|only after its reopening"):
        async with database.transaction(OWN) as tx:
            await tx.execute(text(statement))

    await reopen_month(database, OWN, Month(2026, 9), reason="late", by=OPERATOR, now=NOW)
    history = await list_close_history(database, OWN)
    assert [each.action for each in history] == ["REOPENED", "CLOSED"]


async def test_the_role_cannot_create_temporary_tables(database: Database) -> None:
    async with database.owner_transaction() as tx:
        await upgrade(tx)  # A cloned database does not have the privileges of its template.

    with pytest.raises(DBAPIError, match="permission denied to create temporary tables"):
        async with database.transaction(OWN) as tx:
            await tx.execute(text("CREATE TEMPORARY TABLE mine (id integer)"))


async def test_errors_show_no_parameters(database: Database) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with database.transaction(OWN) as tx:
            await tx.execute(text("SELECT :email FROM nowhere"), {"email": "ann@x.test"})

    assert "ann@x.test" not in str(raised.value)


async def test_a_value_that_is_too_large_is_described_without_the_index(
    database: Database,
) -> None:
    insert = text("""
        INSERT INTO cost_centre (organization_id, code, name)
        SELECT :own, string_agg(encode(sha256(number::text::bytea), 'hex'), ''), 'long'
        FROM generate_series(1, 500) AS number
    """)
    with pytest.raises(InvalidArgument) as raised:
        async with database.transaction(OWN) as tx:
            await tx.execute(insert, {"own": OWN})

    assert str(raised.value) == "A value cannot be stored or compared: a text is too long."
