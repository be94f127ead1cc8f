"""Files of events and of tables: stored, or rehearsed to see what would change."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.connectors.files.events import Known, known_of
from app.db.engine import Database
from app.db.events import select_facts_of_source
from app.db.months import MonthTotals, select_totals
from app.ingest.store import IngestResult
from app.services.ingestion import store_lines


class Rehearsal(NamedTuple):
    """What an import would do: what it would accept, and each month's totals before and after."""

    accepted: IngestResult
    before: Mapping[date, MonthTotals]
    after: Mapping[date, MonthTotals]


class _Undone(Exception):
    """Ends a rehearsal."""


async def rehearse(
    database: Database, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> Rehearsal:
    """Store a stream of lines in one transaction, see what it changed, and undo it.

    Raises:
        InvalidBatch: As for `accept_lines`.
    """
    found: list[Rehearsal] = []
    try:
        async with database.transaction(organization_id) as tx:
            before = await select_totals(tx, organization_id)
            accepted = await store_lines(tx, organization_id, chunks, now)
            found.append(Rehearsal(accepted, before, await select_totals(tx, organization_id)))
            raise _Undone
    except _Undone:
        return found[0]


async def known_of_source(
    database: Database, organization_id: UUID, source: str, at: datetime
) -> Known:
    """What a source said until a moment: users, memberships and experiments that exist."""
    async with database.transaction(organization_id) as tx:
        return known_of(await select_facts_of_source(tx, organization_id, source, at))
