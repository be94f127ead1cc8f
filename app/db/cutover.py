"""Statements that take a hand-over to live sources back."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def delete_facts(
    tx: AsyncConnection, organization_id: UUID, source: str, type_: str, id_pattern: str
) -> None:
    """Delete what a source said: of one type, with ids that are LIKE a pattern."""
    await tx.execute(
        text("""
            DELETE FROM event
            WHERE organization_id = :organization_id AND partition_year = 0
              AND source = :source AND type = :type AND id LIKE :pattern
        """),
        {
            "organization_id": organization_id,
            "source": source,
            "type": type_,
            "pattern": id_pattern,
        },
    )


async def has_other_facts(
    tx: AsyncConnection, organization_id: UUID, source: str, until: datetime
) -> bool:
    """Whether anything but this source said something of before that instant, or of users."""
    found = await tx.execute(
        text("""
            SELECT EXISTS (
                SELECT FROM event
                WHERE organization_id = :organization_id AND source <> :source
                  AND (occurred_at < :until OR type IN ('user.upserted', 'user.deleted')))
        """),
        {"organization_id": organization_id, "source": source, "until": until},
    )
    return bool(found.scalar_one())
