"""Run sources, store their batches, and list sources and their runs.

async with open_source_run(database, organization_id, "mlflow", kind="mlflow", clock=clock) as run:
    known = await run.load_checkpoint("experiment")
    await run.accept(chunks)               # all or nothing, like `chargeback import`
    run.skip("run 8f31", "it has no owner")
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.clock import Clock
from app.db.engine import Database, Transaction
from app.db.sources import (
    add_to_run,
    finish_run,
    insert_run,
    lock_source,
    select_checkpoint,
    select_runs,
    select_sources,
    write_checkpoint,
)
from app.domain.errors import (
    ChargebackError,
    InvalidArgument,
    InvalidBatch,
    NotFound,
    SourceBusy,
    StoreUnavailable,
)
from app.domain.event_decoding import decode_lines
from app.domain.sources import CheckpointKey, RunOutcome, SkippedItem, SourceBatch
from app.domain.text import NUL, require_text
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.analyze_trigger import AnalyzeTrigger
from app.services.file_import import store_lines

MAX_LISTED_ITEMS = 100
"""A run counts all skipped items, but lists only this many."""
_MAX_RUNS = 400
_MAX_ERROR_LENGTH = 2_000


class SourceRunState(NamedTuple):
    """A stored run of a source: its counts, the items that it skipped, and its outcome.

    `finished_at` is None while the run is in progress and when it was interrupted.
    """

    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: RunOutcome
    accepted: int
    duplicates: int
    skipped_count: int
    skipped: Sequence[SkippedItem]
    error: str | None


class SourceState(NamedTuple):
    """A source and its last run; `last_run` is None before the first."""

    name: str
    kind: str
    connected_at: datetime
    last_run: SourceRunState | None


class ActiveSourceRun:
    """A run in progress. The source is locked, so there is only one at a time.

    Attributes:
        total: How many events were accepted, and how many were duplicates.
        skipped: The first `MAX_LISTED_ITEMS` skipped items.
        skipped_count: How many items were skipped.
    """

    def __init__(
        self,
        database: Database,
        organization_id: UUID,
        name: str,
        number: int,
        clock: Clock,
    ) -> None:
        self._database = database
        self._analyze_trigger = AnalyzeTrigger(database)
        self._organization_id = organization_id
        self._name = name
        self._clock = clock
        self.number = number
        self.total = IngestResult()
        self.skipped: list[SkippedItem] = []
        self.skipped_count = 0
        self._counted = self._listed = 0

    async def accept(
        self,
        chunks: Iterable[Sequence[bytes]],
        *,
        checkpoint: Mapping[CheckpointKey, str | None] | None = None,
    ) -> IngestResult:
        """Store a stream of events and its checkpoint in one transaction.

        Args:
            chunks: Lines, one event each, in chunks.
            checkpoint: Values that the next run needs; None deletes a value.

        Raises:
            InvalidBatch: Some lines are invalid (counted from 0). Nothing was stored.
            SourceBusy: Another run has begun, because the database was unreachable meanwhile.
        """
        async with self._database.transaction(self._organization_id) as tx:
            accepted = await store_lines(tx, self._organization_id, chunks, self._clock())
            if checkpoint:
                await write_checkpoint(tx, self._organization_id, self._name, checkpoint)
            await self.add_counts(tx, accepted)
        await self._analyze_trigger.record_events(accepted.accepted)
        self.total += accepted
        self._counted, self._listed = self.skipped_count, len(self.skipped)
        return accepted

    async def store_batch(self, batch: SourceBatch) -> IngestResult:
        """Store a batch of a connector. Invalid events are skipped and listed."""
        for skipped in batch.skipped:
            self.skip(*skipped)
        lines = list(self._drop_invalid(batch.lines))
        chunks = [lines[start : start + CHUNK_SIZE] for start in range(0, len(lines), CHUNK_SIZE)]
        return await self.accept(chunks, checkpoint=batch.checkpoint)

    def skip(self, item: str, reason: str) -> None:
        """Record an item that cannot be reported; it is stored with the next batch."""
        self.skipped_count += 1
        if len(self.skipped) < MAX_LISTED_ITEMS:
            self.skipped.append(SkippedItem(item.replace(NUL, ""), reason.replace(NUL, "")))

    async def load_checkpoint(
        self, family: str, keys: Sequence[str] | None = None
    ) -> dict[str, str]:
        """Return the checkpoint values of a family by key, for these keys or all."""
        async with self._database.transaction(self._organization_id) as tx:
            rows = await select_checkpoint(tx, self._organization_id, self._name, family, keys)
        return {row.key: row.value for row in rows}

    def _drop_invalid(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Return the valid events. One pass may miss invalid ones, so repeat until all pass."""
        while True:
            try:
                decode_lines(lines, now=self._clock())
            except InvalidBatch as error:
                problems = {problem.index: problem for problem in error.problems}
                for index, problem in problems.items():
                    self.skip(
                        lines[index].decode(errors="replace")[:200],
                        f"{problem.field or 'event'}: {problem.message}",
                    )
                lines = [line for at, line in enumerate(lines) if at not in problems]
            else:
                return lines

    async def add_counts(self, tx: Transaction, accepted: IngestResult) -> None:
        """Add what the caller's transaction stored to the counts of this run, in that transaction.

        Raises:
            SourceBusy: Another run has begun.
        """
        is_current = await add_to_run(
            tx,
            self._organization_id,
            self._name,
            self.number,
            accepted=accepted.accepted,
            duplicates=accepted.duplicates,
            skipped_count=self.skipped_count - self._counted,
            skipped=self.skipped[self._listed :],
        )
        if not is_current:
            raise SourceBusy(f"Another run of source {self._name!r} has begun, so this one stops.")

    async def finish(self, outcome: RunOutcome, error: str | None) -> None:
        """Store the outcome of the run and the items skipped since the last batch."""
        async with self._database.transaction(self._organization_id) as tx:
            if self._counted < self.skipped_count:
                await self.add_counts(tx, IngestResult())
            await finish_run(
                tx,
                self._organization_id,
                self._name,
                self.number,
                outcome=outcome,
                error=error,
                now=self._clock(),
            )


@asynccontextmanager
async def open_source_run(
    database: Database, organization_id: UUID, name: str, *, kind: str, clock: Clock
) -> AsyncIterator[ActiveSourceRun]:
    """Run a source for the length of the block. The first run registers the source.

    An open transaction locks the source, so the lock also ends if the process dies.

    Raises:
        InvalidArgument: The name is empty or too long.
        SourceBusy: Another run is in progress, in this process or another.
    """
    require_text("source", name, 200)
    async with database.lock_transaction(organization_id) as lock:
        if not await lock_source(lock, organization_id, name):
            raise SourceBusy(f"Another run of source {name!r} is in progress: wait for it to end.")
        async with database.transaction(organization_id) as tx:
            number = await insert_run(tx, organization_id, name, kind, clock())
        run = ActiveSourceRun(database, organization_id, name, number, clock)
        try:
            yield run
        except BaseException as error:
            with suppress(StoreUnavailable, SourceBusy):
                await run.finish(*_to_outcome(error))
            raise
        await run.finish(RunOutcome.DONE, None)


def _to_outcome(error: BaseException) -> tuple[RunOutcome, str | None]:
    if not isinstance(error, Exception):
        return RunOutcome.INTERRUPTED, None
    message = str(error) if isinstance(error, ChargebackError) else repr(error)
    return RunOutcome.FAILED, message.replace(NUL, "")[:_MAX_ERROR_LENGTH]


async def list_sources(database: Database, organization_id: UUID) -> Sequence[SourceState]:
    """Return the sources of an organization by name, with their last runs."""
    async with database.transaction(organization_id) as tx:
        rows = await select_sources(tx, organization_id)
    return [
        SourceState(
            row.source,
            row.kind,
            row.connected_at,
            None if row.number is None else _to_run_state(row),
        )
        for row in rows
    ]


async def list_source_runs(
    database: Database, organization_id: UUID, name: str, first: int = 20
) -> Sequence[SourceRunState]:
    """Return the last runs of a source, latest first.

    Raises:
        InvalidArgument: `first` is not from 1 to 400.
        NotFound: The organization has no such source.
    """
    if not 1 <= first <= _MAX_RUNS:
        raise InvalidArgument(f"first: must be from 1 to {_MAX_RUNS}; got {first}.")
    async with database.transaction(organization_id) as tx:
        rows = await select_runs(tx, organization_id, name, first)
    if not rows:
        raise NotFound(f"There is no source {name!r}.")
    return [_to_run_state(row) for row in rows]


def _to_run_state(row: Any) -> SourceRunState:
    return SourceRunState(
        row.number,
        row.started_at,
        row.finished_at,
        RunOutcome(row.outcome),
        row.accepted,
        row.duplicates,
        row.skipped_count,
        [SkippedItem(each["item"], each["reason"]) for each in row.skipped],
        row.error,
    )
