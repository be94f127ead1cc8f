"""Tenant isolation by row-level security: a transaction sees only one organization's rows.

Each table has row-level security. A transaction sets its organization and assumes a role that the
policies bind (`scope_settings`). Where the user of DATABASE_URL cannot assume that role, the
policies are forced on the tables' owner too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.local_settings import select_is_distributed
from app.domain.errors import StoreNotIsolated

ROLE = "chargeback_app"
"""The role of all transactions but maintenance; it cannot log in or bypass policies."""

SIGN_IN_TABLES = frozenset({"platform_user", "api_key", "organization", "session"})
"""Tables that authentication reads across organizations, before the caller is known."""

_READ, _APPEND = ("SELECT",), ("SELECT", "INSERT")
_UPSERT, _ALL = (*_APPEND, "UPDATE"), (*_APPEND, "UPDATE", "DELETE")

PRIVILEGES: Mapping[str, Sequence[str]] = {
    "api_key": _UPSERT,
    "assignment": _UPSERT,
    "audit_log": _APPEND,
    "charge": _APPEND,  # Deleted with its close, which needs no privilege.
    "closed_document": _UPSERT,
    "correction": _ALL,
    "cost_centre": _UPSERT,
    "event": _APPEND,
    "feed_day": _UPSERT,
    "feed_source": _UPSERT,
    "member_month": _ALL,
    "membership": _UPSERT,
    "month_close": _ALL,  # A trigger rejects a deletion that the history does not record.
    "month_close_history": _APPEND,
    "organization": _UPSERT,
    "platform_user": _UPSERT,
    "price": _UPSERT,
    "project": _UPSERT,
    "project_month": _ALL,
    "rate": _UPSERT,
    "scim_member": _ALL,
    "scim_resource": _UPSERT,
    "session": (*_APPEND, "DELETE"),
    "source": _UPSERT,
    "source_checkpoint": _ALL,
    "source_run": _ALL,
    "usage_archive": _READ,
    "user_month": _ALL,
    "workspace": _UPSERT,
    "workspace_month": _ALL,
}
"""What the service may do with each table. Tables that are not listed are out of its reach."""

_SIGN_IN, _MAINTENANCE = "sign-in", "maintenance"


def scope_settings(role: str, organization_id: UUID | None) -> dict[str, str]:
    """Return the settings that limit a transaction to one organization; None: to authentication.

    They apply from its next statement on.
    """
    mode = "" if organization_id else _SIGN_IN
    return _compose_scope(role, str(organization_id) if organization_id else "", mode)


def owner_scope_settings() -> dict[str, str]:
    """Return the settings of a transaction of the tables' owner, who sees all rows."""
    return _compose_scope("none", "", _MAINTENANCE)


def _compose_scope(role: str, organization_id: str, mode: str) -> dict[str, str]:
    return {
        "role": role,
        "chargeback.organization_id": organization_id,
        "chargeback.mode": mode,
    }


_CAN_ASSUME_ROLE = f"""
    SELECT coalesce((
        SELECT pg_has_role(session_user, oid, CASE
            WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
        FROM pg_roles WHERE rolname = '{ROLE}'
    ), false)
"""


async def select_role(connection: AsyncConnection) -> str:
    """Return `ROLE`, or `none` where the current user cannot assume it.

    On Citus it is `none`, because the coordinator logs in to the nodes as the current role.
    """
    if await select_is_distributed(connection):
        return "none"
    result = await connection.execute(text(_CAN_ASSUME_ROLE))
    return ROLE if result.scalar_one() else "none"


IS_BOUND_BY_POLICIES = "SELECT row_security_active('api_key')"
"""Returns whether policies bind the current user, who has assumed no role."""


# Roles belong to the server, so the first database with the privilege creates it, possibly at the
# same time as another. Without the privilege, the policies bind the tables' owner instead.
_CREATE_ROLE = f"""
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
            CREATE ROLE {ROLE} NOLOGIN NOINHERIT;
        END IF;
        IF NOT ({_CAN_ASSUME_ROLE}) THEN
            EXECUTE format('GRANT {ROLE} TO %I', session_user);
        END IF;
    EXCEPTION
        WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
    END $$
"""

# Every role may create temporary tables in a database unless that is revoked from PUBLIC. Only the
# owner of the database can do so, and needs no grant.
_REVOKE_TEMPORARY = f"""
    DO $$ BEGIN
        IF has_database_privilege('{ROLE}', current_database(), 'TEMPORARY') AND EXISTS (
            SELECT FROM pg_database
            WHERE datname = current_database() AND pg_has_role(datdba, 'USAGE'))
        THEN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        END IF;
    END $$
"""
_TABLES = f"""
    SELECT quote_ident(relname) AS name, relispartition AS is_partition,
           relname AS key, relrowsecurity AS is_enabled, relforcerowsecurity AS is_forced,
           ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = pg_class.oid) AS policies,
           ARRAY(SELECT privilege_type FROM aclexplode(relacl)
                 WHERE grantee = to_regrole('{ROLE}')) AS privileges
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid
                  AND attname = 'organization_id' AND NOT attisdropped)
      {{}}
    ORDER BY relname
"""
_NOT_A_SHARD = "AND NOT relation_is_a_known_shard(pg_class.oid)"  # Citus looks after its shards.


async def create_policies(tx: AsyncConnection) -> None:
    """Give each table its policies, and the role exactly its privileges.

    Raises:
        StoreNotIsolated: The user of DATABASE_URL bypasses row-level security.
    """
    await tx.execute(text(_CREATE_ROLE))
    role = await select_role(tx)
    await _require_row_security(tx, role)
    if role == ROLE:
        await tx.execute(text(_REVOKE_TEMPORARY))
    not_a_shard = _NOT_A_SHARD if await select_is_distributed(tx) else ""
    for table in (await tx.execute(text(_TABLES.format(not_a_shard)))).all():
        for command in _iter_missing_commands(table, has_role=role == ROLE):
            await tx.execute(command)


async def _require_row_security(tx: AsyncConnection, role: str) -> None:
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
            f"The role {name!r} bypasses row-level security, which isolates organizations. "
            f"Run ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS."
        )


# Without a sub-select, which Citus rejects in a policy. If the statement names its organization,
# PostgreSQL evaluates the setting once for all rows.
_OWN_ROWS = (
    "organization_id = "
    "CAST(nullif(current_setting('chargeback.organization_id', true), '') AS uuid)"
)
_MODE = "current_setting('chargeback.mode', true) = '{}'"


def _iter_missing_commands(table: Any, *, has_role: bool) -> Iterator[TextClause]:
    """Yield the commands that a table still needs.

    A partition gets no policy or grant, because it is only read and written through its parent.
    """
    if not table.is_enabled:
        yield text(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY")
    if table.is_forced == has_role:
        force = "NO FORCE" if has_role else "FORCE"
        yield text(f"ALTER TABLE {table.name} {force} ROW LEVEL SECURITY")
    if table.is_partition:
        return
    privileges = PRIVILEGES.get(table.key, ())
    policies = _compose_policies(table.key, privileges, has_role=has_role)
    for name in table.policies:
        if name.startswith("own_rows") and name not in policies:
            yield text(f"DROP POLICY {name} ON {table.name}")
    for name, policy in policies.items():
        if name not in table.policies:
            yield text(f"CREATE POLICY {name} ON {table.name} {policy}")
    if has_role and {*table.privileges} != {*privileges}:
        yield text(f"REVOKE ALL ON {table.name} FROM {ROLE}")
        if privileges:
            yield text(f"GRANT {', '.join(privileges)} ON {table.name} TO {ROLE}")


def _compose_policies(table: str, privileges: Sequence[str], *, has_role: bool) -> dict[str, str]:
    policies = {}
    if not has_role:
        maintenance = _MODE.format(_MAINTENANCE)
        policies["maintenance"] = (
            f"TO CURRENT_USER USING ({maintenance}) WITH CHECK ({maintenance})"
        )
    for privilege in privileges:
        checked = "WITH CHECK" if privilege == "INSERT" else "USING"
        policies[f"own_rows_{privilege.lower()}"] = f"FOR {privilege} {checked} ({_OWN_ROWS})"
    if table in SIGN_IN_TABLES:
        policies["sign_in"] = f"FOR SELECT USING ({_MODE.format(_SIGN_IN)})"
    return policies
