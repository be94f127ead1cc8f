"""Files of events and of tables: stored, or rehearsed to see what would change."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.connectors.files.events import KnownEntities, collect_known_entities
from app.db.engine import Database
from app.db.events import select_facts_of_source
from app.db.months import MonthTotals, select_totals
from app.ingest.store import IngestResult
from app.services.file_import import store_lines


class DryRun(NamedTuple):
    """What an import would do: what it would accept, and each month's totals before and after."""

    accepted: IngestResult
    before: Mapping[date, MonthTotals]
    after: Mapping[date, MonthTotals]


class _Undone(Exception):
    """Ends a rehearsal."""


async def dry_run_import(
    database: Database, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> DryRun:
    """Store a stream of lines in one transaction, see what it changed, and undo it.

    Raises:
        InvalidBatch: As for `import_lines`.
    """
    found: list[DryRun] = []
    try:
        async with database.transaction(organization_id) as tx:
            before = await select_totals(tx, organization_id)
            accepted = await store_lines(tx, organization_id, chunks, now)
            found.append(DryRun(accepted, before, await select_totals(tx, organization_id)))
            raise _Undone
    except _Undone:
        return found[0]


async def read_known_entities(
    database: Database, organization_id: UUID, source: str, at: datetime
) -> KnownEntities:
    """What a source said until a moment: users, memberships and experiments that exist."""
    async with database.transaction(organization_id) as tx:
        return collect_known_entities(
            await select_facts_of_source(tx, organization_id, source, at)
        )
