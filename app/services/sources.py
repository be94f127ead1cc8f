"""Sources: what is connected, its runs, and the way by which a run stores what it brings.

async with open_source_run(database, organization_id, "mlflow", kind="mlflow", clock=clock) as run:
    known = await run.load_checkpoint("experiment")
    await run.accept(chunks)               # all or nothing, as `chargeback import` does
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
    begin_run,
    end_run,
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
from app.domain.events import NUL, decode_lines
from app.domain.sources import CheckpointKey, RunOutcome, SkippedItem, SourceBatch
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.file_import import store_lines
from app.services.retention import AnalyzeTrigger

LISTED = 100
"""A run lists no more of what it could not place; it counts all."""
_MOST_RUNS = 400
_LONGEST_ERROR = 2_000


class SourceRunState(NamedTuple):
    """A run of a source: what it brought, what it could not place, and how it ended.

    `finished_at` is None while it runs, and when it was interrupted.
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
    """A source and its last run; None before the first."""

    name: str
    kind: str
    connected_at: datetime
    last_run: SourceRunState | None


class ActiveSourceRun:
    """One run of a source, which nobody else runs meanwhile.

    Attributes:
        total: What became of the events that it brought.
        skipped: What it could not place, the first `LISTED` of it.
        skipped_count: How much it could not place.
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
        self._growth = AnalyzeTrigger(database)
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
        """Store a stream of events, and what to remember of them: all of it, or nothing.

        Args:
            chunks: Lines, one event each, some at a time.
            checkpoint: What to know at the next run; None forgets.

        Raises:
            InvalidBatch: With the bad lines, counted from 0; nothing was stored.
            SourceBusy: Another run has begun: the store was away in between.
        """
        async with self._database.transaction(self._organization_id) as tx:
            accepted = await store_lines(tx, self._organization_id, chunks, self._clock())
            if checkpoint:
                await write_checkpoint(tx, self._organization_id, self._name, checkpoint)
            await self.count(tx, accepted)
        await self._growth.stored(accepted.accepted)
        self.total += accepted
        self._counted, self._listed = self.skipped_count, len(self.skipped)
        return accepted

    async def store_batch(self, brought: SourceBatch) -> IngestResult:
        """Store what a connector brings; an event that the feed refuses is left out, and said."""
        for skipped in brought.skipped:
            self.skip(*skipped)
        lines = list(self._good(brought.lines))
        chunks = [lines[start : start + CHUNK_SIZE] for start in range(0, len(lines), CHUNK_SIZE)]
        return await self.accept(chunks, checkpoint=brought.checkpoint)

    def skip(self, what: str, why: str) -> None:
        """Note that something has no place in the feed; stored with what is brought next."""
        self.skipped_count += 1
        if len(self.skipped) < LISTED:
            self.skipped.append(SkippedItem(what.replace(NUL, ""), why.replace(NUL, "")))

    async def load_checkpoint(
        self, family: str, keys: Sequence[str] | None = None
    ) -> dict[str, str]:
        """What was checkpoint in a family at these keys, or at all."""
        async with self._database.transaction(self._organization_id) as tx:
            rows = await select_checkpoint(tx, self._organization_id, self._name, family, keys)
        return {row.key: row.value for row in rows}

    def _good(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """The events that the feed takes; each pass finds some of the others."""
        while True:
            try:
                decode_lines(lines, now=self._clock())
            except InvalidBatch as refusal:
                problems = {problem.index: problem for problem in refusal.problems}
                for index, problem in problems.items():
                    self.skip(
                        lines[index].decode(errors="replace")[:200],
                        f"{problem.field or 'event'}: {problem.message}",
                    )
                lines = [line for at, line in enumerate(lines) if at not in problems]
            else:
                return lines

    async def count(self, tx: Transaction, accepted: IngestResult) -> None:
        """Count what a transaction of the caller stored, as part of that transaction.

        Raises:
            SourceBusy: Another run has begun.
        """
        current = await add_to_run(
            tx,
            self._organization_id,
            self._name,
            self.number,
            accepted=accepted.accepted,
            duplicates=accepted.duplicates,
            skipped_count=self.skipped_count - self._counted,
            skipped=self.skipped[self._listed :],
        )
        if not current:
            raise SourceBusy(f"Another run of source {self._name!r} has begun; this one ends.")

    async def finish(self, outcome: RunOutcome, error: str | None) -> None:
        """Note how the run ended, and what was left out at last."""
        async with self._database.transaction(self._organization_id) as tx:
            if self._counted < self.skipped_count:
                await self.count(tx, IngestResult())
            await end_run(
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
    """Run a source for the length of the block; it is connected by its first run.

    The source is locked by an open transaction, so that the lock ends with the process, too.

    Raises:
        InvalidArgument: The name is empty or too long.
        SourceBusy: It runs already, here or in another process.
    """
    if not 1 <= len(name) <= 200 or NUL in name:
        raise InvalidArgument(
            f"source: must be 1 to 200 characters without U+0000; got {name[:80]!r}."
        )
    async with database.transaction(organization_id) as lock:
        if not await lock_source(lock, organization_id, name):
            raise SourceBusy(f"Source {name!r} is being read already: wait for that run to end.")
        async with database.transaction(organization_id) as tx:
            number = await begin_run(tx, organization_id, name, kind, clock())
        run = ActiveSourceRun(database, organization_id, name, number, clock)
        try:
            yield run
        except BaseException as error:
            with suppress(StoreUnavailable, SourceBusy):
                await run.finish(*_ended_by(error))
            raise
        await run.finish(RunOutcome.DONE, None)


def _ended_by(error: BaseException) -> tuple[RunOutcome, str | None]:
    if not isinstance(error, Exception):
        return RunOutcome.INTERRUPTED, None
    told = str(error) if isinstance(error, ChargebackError) else repr(error)
    return RunOutcome.FAILED, told.replace(NUL, "")[:_LONGEST_ERROR]


async def list_sources(database: Database, organization_id: UUID) -> Sequence[SourceState]:
    """The sources of an organization by name, each with its last run."""
    async with database.transaction(organization_id) as tx:
        rows = await select_sources(tx, organization_id)
    return [
        SourceState(
            row.source, row.kind, row.connected_at, None if row.number is None else _state(row)
        )
        for row in rows
    ]


async def list_source_runs(
    database: Database, organization_id: UUID, name: str, first: int = 20
) -> Sequence[SourceRunState]:
    """The last runs of a source, the latest first.

    Raises:
        InvalidArgument: `first` is not from 1 to 400.
        NotFound: There is no such source.
    """
    if not 1 <= first <= _MOST_RUNS:
        raise InvalidArgument(f"first: must be from 1 to {_MOST_RUNS}; got {first}.")
    async with database.transaction(organization_id) as tx:
        rows = await select_runs(tx, organization_id, name, first)
    if not rows:
        raise NotFound(f"There is no source {name!r}.")
    return [_state(row) for row in rows]


def _state(row: Any) -> SourceRunState:
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
