"""Dry runs: show what an import would change without storing it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.connectors.files.events import KnownEntities, collect_known_entities
from app.db.dry_run import roll_back_at_end
from app.db.engine import Database
from app.db.events import select_facts_of_source
from app.db.month_totals import MonthTotals, select_totals
from app.domain.months import Month
from app.ingest.store import IngestResult
from app.services.file_import import store_lines


class DryRun(NamedTuple):
    """What an import would accept, and the totals of each month before and after it."""

    accepted: IngestResult
    before: Mapping[Month, MonthTotals]
    after: Mapping[Month, MonthTotals]


async def dry_run_import(
    database: Database, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> DryRun:
    """Store a stream of lines in one transaction, record its effect, and roll it back.

    Raises:
        InvalidBatch: Some events are invalid, as for `import_lines`.
    """
    async with roll_back_at_end(database.transaction(organization_id)) as tx:
        before = await select_totals(tx, organization_id)
        accepted = await store_lines(tx, organization_id, chunks, now)
        after = await select_totals(tx, organization_id)
    return DryRun(accepted, before, after)


async def read_known_entities(
    database: Database, organization_id: UUID, source: str, at: datetime
) -> KnownEntities:
    """Return the users, members and experiments that exist at a time according to a source."""
    async with database.transaction(organization_id) as tx:
        return collect_known_entities(
            await select_facts_of_source(tx, organization_id, source, at)
        )
