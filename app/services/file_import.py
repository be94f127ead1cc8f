"""File import: any number of NDJSON lines, stored in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from app.db.engine import Database, Transaction
from app.domain.errors import EventProblem, InvalidBatch
from app.domain.event_decoding import MAX_PROBLEMS, decode_lines
from app.ingest.store import IngestResult, store_events
from app.services.analyze_trigger import AnalyzeTrigger, TransactionAnalyzeTrigger
from app.services.group_commit import record_rejected_batch


async def import_lines(
    database: Database, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> IngestResult:
    """Store a stream of NDJSON lines in one transaction, chunk by chunk.

    Blank lines are skipped, but count when lines are numbered.

    Raises:
        InvalidBatch: Lists the invalid lines, numbered from 0. Nothing was stored.
    """
    database.require_free_space()
    counted = _CountedLines(chunks)
    try:
        async with database.transaction(organization_id) as tx:
            result = await store_lines(tx, organization_id, counted, now)
    except InvalidBatch:
        await record_rejected_batch(database, organization_id, counted.line_count, now)
        raise
    await AnalyzeTrigger(database).record_events(result.accepted)
    return result


class _CountedLines:
    """Chunks of lines; `line_count` is the number of lines read so far that are not blank."""

    def __init__(self, chunks: Iterable[Sequence[bytes]]) -> None:
        self._chunks = chunks
        self.line_count = 0

    def __iter__(self) -> Iterator[Sequence[bytes]]:
        for lines in self._chunks:
            self.line_count += sum(1 for line in lines if line.strip())
            yield lines


async def store_lines(
    tx: Transaction, organization_id: UUID, chunks: Iterable[Sequence[bytes]], now: datetime
) -> IngestResult:
    """Store NDJSON lines within the caller's transaction.

    Raises:
        InvalidBatch: Lists the invalid lines, numbered from 0. The caller must roll back, because
            earlier chunks may have been written.
    """
    problems: list[EventProblem] = []
    total = IngestResult()
    analyze = TransactionAnalyzeTrigger(tx, organization_id)
    index = 0
    for lines in chunks:
        try:
            events = decode_lines(lines, now=now, first_index=index)
        except InvalidBatch as error:
            problems += error.problems
        else:
            # After an invalid line, the rest is only searched for more of them.
            if events and not problems:
                is_new = await store_events(tx, organization_id, events, now)
                await analyze.record_events(sum(is_new))
                total += IngestResult.count(is_new)
        index += len(lines)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise InvalidBatch(problems[:MAX_PROBLEMS])
    return total
