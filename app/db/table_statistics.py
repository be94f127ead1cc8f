"""Planner statistics: let PostgreSQL count tables that have just grown.

Autovacuum analyzes tables about once a minute. Until then PostgreSQL takes a table that was just
filled for nearly empty, and joins a report's rows in ways that cost the square of their number.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.local_settings import is_distributed


async def analyze(tx: AsyncConnection) -> None:
    """Update the statistics of all tables that grow, in an owner transaction."""
    await tx.execute(_ANALYZE)


async def analyze_in_transaction(tx: AsyncConnection) -> None:
    """Update the statistics within a transaction that fills the tables.

    ANALYZE counts rows of its own transaction, which no other transaction can see yet. Only the
    owner of a table may analyze it, so the transaction takes that role for the statement. On Citus
    this does nothing: another connection would analyze the tables of a node, and see no such row.
    """
    if is_distributed(tx):
        return
    role = (await tx.execute(text("SELECT current_setting('role')"))).scalar_one()
    await tx.execute(_SET_ROLE, {"role": "none"})
    await tx.execute(_ANALYZE)
    await tx.execute(_SET_ROLE, {"role": role})


_SET_ROLE = text("SELECT set_config('role', :role, true)")
_GROWING_TABLES = (
    *("platform_user", "workspace", "project", "membership", "event_permanent"),
    *("workspace_month", "project_month", "member_month", "user_month"),
)
# ANALYZE locks a table against other ANALYZE commands until the transaction ends; they skip it.
_ANALYZE = text(f"ANALYZE (SKIP_LOCKED) {', '.join(_GROWING_TABLES)}")
