"""The schema that a restore fills beside the store, until both are swapped (ADR 31)."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

STAGING_SCHEMA = "chargeback_staging"


async def drop_abandoned_staging_schema(tx: AsyncConnection) -> None:
    """Drop what a killed restore left behind. The store itself is whole.

    The caller holds the migration lock, so no restore is running.
    """
    found = await tx.execute(
        text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": STAGING_SCHEMA}
    )
    if found.scalar_one():
        await tx.execute(text(f"DROP SCHEMA {STAGING_SCHEMA} CASCADE"))
