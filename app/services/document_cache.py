"""The cache of gzipped documents of closed months."""

from uuid import UUID

from app.db.closed_documents import select_closed_document, upsert_closed_document
from app.db.engine import Database
from app.domain.months import Month
from resolvers.context import Context


async def fetch_cached_document(
    context: Context, organization_id: UUID, month: Month, tag: str
) -> bytes | None:
    """Return the gzipped document with an ETag, or None when it is not cached.

    Source: table `closed_document`.
    """
    rows = await context.snapshot.fetch_rows(
        select_closed_document(),
        {"month": month.first_day, "etag": tag},
        organization_id=organization_id,
    )
    return rows[0][0] if rows else None


async def cache_document(
    database: Database, organization_id: UUID, month: Month, tag: str, gzipped: bytes
) -> None:
    """Cache a document until its month is reopened."""
    async with database.transaction(organization_id) as tx:
        await upsert_closed_document(tx, organization_id, month, etag=tag, gzipped=gzipped)
