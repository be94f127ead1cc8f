"""Distribute the store over the nodes of a Citus cluster, by organization.

All rows of an organization lie on one node. Nothing else in the service knows about nodes: its
statements name their organization, and Citus passes them on.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.local_settings import compose_commands, select_is_distributed
from app.db.row_security import create_policies
from app.db.tables import Base
from app.domain.errors import ChargebackError

_FIRST = "organization"
"""The table that is distributed first; the shards of the others lie beside its shards."""
_SETTINGS = {
    # Pass SET LOCAL on to the nodes: role, organization and timeouts.
    "citus.propagate_set_commands": "local",
    # The driver reads the catalog with each connection. Citus would check every table in it.
    "citus.override_table_visibility": "off",
}
_WHILE_DISTRIBUTING = {
    "citus.multi_shard_modify_mode": "sequential",
    # The triggers read and write only rows of their own organization.
    "citus.enable_unsafe_triggers": "on",
}
_SELECT_DISTRIBUTED_TABLES = text("""
    SELECT relname FROM pg_class JOIN pg_dist_partition ON logicalrelid = pg_class.oid
    WHERE relnamespace = current_schema()::regnamespace
""")
_SELECT_FORCED_TABLES = text("""
    SELECT quote_ident(relname) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relforcerowsecurity
      AND NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = pg_class.oid)
      AND NOT relation_is_a_known_shard(pg_class.oid)
""")
_SELECT_DATABASE = text("SELECT quote_ident(current_database())")


class CitusMissing(ChargebackError):
    """The database to distribute does not have the extension Citus."""

    code, status = "CITUS_MISSING", 409

    def __init__(self) -> None:
        super().__init__(
            "The database does not have the extension citus. Let a superuser run CREATE EXTENSION "
            "citus, and add the nodes with citus_add_node."
        )


async def select_tables_to_distribute(tx: AsyncConnection) -> Sequence[str]:
    """Return the tables that `distribute` would distribute.

    Raises:
        CitusMissing: The database does not have the extension Citus.
    """
    if not await select_is_distributed(tx):
        raise CitusMissing
    return await _select_local_tables(tx)


async def distribute(tx: AsyncConnection) -> Sequence[str]:
    """Distribute all tables by organization, and make the settings that the service needs.

    This is for an owner transaction of a process that has the store for itself. The settings apply
    to new connections.

    Returns:
        The tables that were not distributed before.

    Raises:
        CitusMissing: The database does not have the extension Citus.
    """
    tables = await select_tables_to_distribute(tx)
    database = (await tx.execute(_SELECT_DATABASE)).scalar_one()
    for name, value in _SETTINGS.items():
        await tx.execute(text(f"ALTER DATABASE {database} SET {name} = '{value}'"))
    await _distribute_tables(tx, tables)
    await create_policies(tx)
    return tables


async def distribute_new_tables(tx: AsyncConnection) -> None:
    """Distribute tables that a migration has created, if the store is distributed."""
    if await select_is_distributed(tx):
        tables = await _select_local_tables(tx)
        if _FIRST not in tables:
            await _distribute_tables(tx, tables)


async def _distribute_tables(tx: AsyncConnection, tables: Sequence[str]) -> None:
    for command in compose_commands(_WHILE_DISTRIBUTING):
        await tx.exec_driver_sql(command)
    # Citus copies rows by COPY, which policies on the owner forbid. `create_policies` forces them.
    for (table,) in (await tx.execute(_SELECT_FORCED_TABLES)).all():
        await tx.execute(text(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
    for table in tables:
        await tx.execute(_CREATE_DISTRIBUTED, {"table": table, "group": _colocation(table)})
    for command in _iter_truncations(tables):
        await tx.exec_driver_sql(command)


_CREATE_DISTRIBUTED = text("""
    SELECT create_distributed_table(
        CAST(CAST(:table AS text) AS regclass), 'organization_id', colocate_with => :group)
""")


def _colocation(table: str) -> str:
    return "none" if table == _FIRST else _FIRST


def _iter_truncations(tables: Sequence[str]) -> Iterator[str]:
    """Yield the commands that remove the local rows, which Citus has copied and hides."""
    if not tables:
        return
    if "audit_log" in tables:
        yield "ALTER TABLE audit_log DISABLE TRIGGER append_only"
    # The rows of tables that refer to these are removed, too.
    for table in (_FIRST, "event"):
        if table in tables:
            yield f"SELECT truncate_local_data_after_distributing_table('{table}')"
    if "audit_log" in tables:
        yield "ALTER TABLE audit_log ENABLE TRIGGER append_only"


async def _select_local_tables(tx: AsyncConnection) -> Sequence[str]:
    """Return the tables that are not distributed, those that others refer to first."""
    names = [_FIRST, *(table.name for table in Base.metadata.sorted_tables)]
    distributed = set((await tx.execute(_SELECT_DISTRIBUTED_TABLES)).scalars())
    return [name for name in dict.fromkeys(names) if name not in distributed]
