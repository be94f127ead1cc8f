"""Statements for the documents of closed months, stored as they were first sent."""

from typing import Any
from uuid import UUID

from sqlalchemy import Date, Select, String, bindparam, select, text

from app.db.engine import Transaction
from app.db.report_windows import ORGANIZATION
from app.db.statements import compile_once
from app.db.tables import ClosedDocument
from app.domain.months import Month


@compile_once
def select_closed_document() -> Select[Any]:
    """Select `gzipped`: the document of `organization_id` and `month` that has that `etag`."""
    return select(ClosedDocument.gzipped).where(
        ClosedDocument.organization_id == ORGANIZATION,
        ClosedDocument.month == bindparam("month", type_=Date),
        ClosedDocument.etag == bindparam("etag", type_=String),
    )


async def upsert_closed_document(
    tx: Transaction, organization_id: UUID, month: Month, *, etag: str, gzipped: bytes
) -> None:
    """Store a document for as long as its month stays closed.

    Do nothing for an open month, or for one that is being reopened.
    """
    await tx.execute(
        _UPSERT,
        {
            "organization_id": organization_id,
            "month": month.first_day,
            "etag": etag,
            "gzipped": gzipped,
        },
    )


_UPSERT = text("""
    INSERT INTO closed_document (organization_id, month, etag, gzipped)
    SELECT organization_id, month, CAST(:etag AS text), CAST(:gzipped AS bytea)
    FROM (
        SELECT organization_id, month FROM month_close
        WHERE organization_id = :organization_id AND month = :month
        FOR KEY SHARE SKIP LOCKED
    ) AS closed
    ON CONFLICT (organization_id, month)
    DO UPDATE SET etag = excluded.etag, gzipped = excluded.gzipped
""")
