"""Statements of closed months' documents, which are kept as they were first sent."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Select, String, bindparam, select, text

from app.db.engine import Transaction
from app.db.levels import ORGANIZATION
from app.db.statements import compiled_once
from app.db.tables import ClosedDocument


@compiled_once
def select_closed_document() -> Select[Any]:
    """`packed`: the document of `organization_id` and `month` with that `tag`, gzipped."""
    return select(ClosedDocument.packed).where(
        ClosedDocument.organization_id == ORGANIZATION,
        ClosedDocument.month == bindparam("month", type_=Date),
        ClosedDocument.tag == bindparam("tag", type_=String),
    )


async def upsert_closed_document(
    tx: Transaction, organization_id: UUID, month: date, *, tag: str, packed: bytes
) -> None:
    """Keep a document for as long as its month stays closed; of an open one nothing is kept."""
    await tx.execute(
        _UPSERT,
        {"organization_id": organization_id, "month": month, "tag": tag, "packed": packed},
    )


_UPSERT = text("""
    INSERT INTO closed_document (organization_id, month, tag, packed)
    SELECT organization_id, month, CAST(:tag AS text), CAST(:packed AS bytea)
    FROM month_close WHERE organization_id = :organization_id AND month = :month
    ON CONFLICT (organization_id, month) DO UPDATE SET tag = excluded.tag, packed = excluded.packed
""")
