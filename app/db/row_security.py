"""Organizations are islands: PostgreSQL itself shows a transaction one organization's rows alone.

Each table has row-level security. A transaction says whose rows it is about (`scope`), and works
as a role that cannot see past that. Where the user of DATABASE_URL may not have such a role, the
policies bind the tables' owner too.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.errors import StoreNotIsolated

ROLE = "chargeback_app"
"""What every transaction but upkeep works as: no login, no owner, no way past row security."""

SIGN_IN_TABLES = frozenset({"account", "api_key", "organization", "session"})
"""Read across organizations before it is known who asks."""

APPEND_ONLY_TABLES = frozenset({"audit_log"})

SCOPE = """
    set_config('role', :role, true),
    set_config('chargeback.organization_id', :organization_id, true),
    set_config('chargeback.mode', :mode, true)
"""
"""Columns of a SELECT that limits its transaction, from the next statement on."""

_SIGN_IN, _UPKEEP = "sign-in", "upkeep"


def scope(role: str, organization_id: UUID | None) -> dict[str, str]:
    """What `SCOPE` is bound to: an organization's rows, or without one what signing in reads."""
    return {
        "role": role,
        "organization_id": str(organization_id) if organization_id else "",
        "mode": "" if organization_id else _SIGN_IN,
    }


def scope_command(role: str, organization_id: UUID | None) -> str:
    """`scope` as a command without parameters: both are names we made."""
    bound = {name: f"'{value}'" for name, value in scope(role, organization_id).items()}
    return (
        f"SELECT {SCOPE}".replace(":role", bound["role"])
        .replace(":organization_id", bound["organization_id"])
        .replace(":mode", bound["mode"])
    )


def owner_scope() -> dict[str, str]:
    """What `SCOPE` is bound to for migrations: the tables' owner, and all rows."""
    return {"role": "none", "organization_id": "", "mode": _UPKEEP}


_MAY_WORK_AS = f"""
    SELECT coalesce((
        SELECT pg_has_role(session_user, oid, CASE
            WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
        FROM pg_roles WHERE rolname = '{ROLE}'
    ), false)
"""


async def select_role(connection: AsyncConnection) -> str:
    """The role that transactions work as: ours, or `none` where this user cannot have it."""
    found = await connection.execute(text(_MAY_WORK_AS))
    return ROLE if found.scalar_one() else "none"


async def secure(tx: AsyncConnection) -> None:
    """Give each table its policies and rights; a table that has them is left alone.

    Raises:
        StoreNotIsolated: The user of DATABASE_URL goes past row-level security.
    """
    await tx.execute(text(_CREATE_ROLE))
    role = await select_role(tx)
    await _insist_on_security(tx, role)
    for table in (await tx.execute(text(_TABLES), {"role": role})).all():
        for command in _commands(table, has_role=role == ROLE):
            await tx.execute(command)


# Whoever may create roles does so, once per server; others go on without. Several databases of
# one server may do so at a time.
_CREATE_ROLE = f"""
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
            CREATE ROLE {ROLE} NOLOGIN NOINHERIT;
        END IF;
        IF NOT ({_MAY_WORK_AS}) THEN
            EXECUTE format('GRANT {ROLE} TO %I', session_user);
        END IF;
    EXCEPTION
        WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
    END $$
"""


async def _insist_on_security(tx: AsyncConnection, role: str) -> None:
    found = await tx.execute(
        text("""
            SELECT rolname FROM pg_roles
            WHERE rolname = CASE :role WHEN 'none' THEN session_user ELSE :role END
              AND (rolsuper OR rolbypassrls)
        """),
        {"role": role},
    )
    name = found.scalar_one_or_none()
    if name is not None:
        raise StoreNotIsolated(
            f"The role {name!r} goes past row-level security, so that nothing would keep "
            f"organizations apart: run ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS."
        )


_TABLES = f"""
    SELECT quote_ident(relname) AS name, relispartition AS is_partition,
           relrowsecurity AS secured, relforcerowsecurity AS forced,
           ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = pg_class.oid) AS policies,
           :role = '{ROLE}' AND has_table_privilege(
               CASE :role WHEN 'none' THEN session_user ELSE :role END,
               pg_class.oid, 'INSERT') AS granted
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid
                  AND attname = 'organization_id' AND NOT attisdropped)
    ORDER BY relname
"""

_OWN = (
    "organization_id = "
    "(SELECT CAST(nullif(current_setting('chargeback.organization_id', true), '') AS uuid))"
)
_MODE = "(SELECT current_setting('chargeback.mode', true)) = '{}'"


def _commands(table: Any, *, has_role: bool) -> Iterator[TextClause]:
    """What a table lacks. A partition is reached through its parent alone: it has no policy."""
    if not table.secured:
        yield text(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY")
    if table.forced == has_role:
        force = "NO FORCE" if has_role else "FORCE"
        yield text(f"ALTER TABLE {table.name} {force} ROW LEVEL SECURITY")
    if table.is_partition:
        return
    for name, policy in _policies(table.name, has_role=has_role).items():
        if name not in table.policies:
            yield text(f"CREATE POLICY {name} ON {table.name} {policy}")
    if has_role and not table.granted:
        yield text(f"GRANT {', '.join(_rights(table.name))} ON {table.name} TO {ROLE}")


def _policies(table: str, *, has_role: bool) -> dict[str, str]:
    policies = {}
    if not has_role:
        upkeep = _MODE.format(_UPKEEP)
        policies["upkeep"] = f"TO CURRENT_USER USING ({upkeep}) WITH CHECK ({upkeep})"
    if table in APPEND_ONLY_TABLES:
        policies["island_read"] = f"FOR SELECT USING ({_OWN})"
        policies["island_append"] = f"FOR INSERT WITH CHECK ({_OWN})"
    else:
        policies["island"] = f"USING ({_OWN}) WITH CHECK ({_OWN})"
    if table in SIGN_IN_TABLES:
        policies["sign_in"] = f"FOR SELECT USING ({_MODE.format(_SIGN_IN)})"
    return policies


def _rights(table: str) -> Sequence[str]:
    if table in APPEND_ONLY_TABLES:
        return ("SELECT", "INSERT")
    return ("SELECT", "INSERT", "UPDATE", "DELETE")
