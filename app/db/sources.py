"""Statements of sources, their runs and their checkpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import Source, SourceCheckpoint, SourceRun
from app.db.unnest import OWNER
from app.domain.ids import derive_id
from app.domain.sources import CheckpointKey, SkippedItem

_MAX_STORED_RUNS = 400


def _lock_id(organization_id: UUID, source: str) -> int:
    """Return a number for PostgreSQL's advisory locks: 64 bits of a hash, signed."""
    number = derive_id("source", str(organization_id), source).int >> 64
    return number - (1 << 64) if number >> 63 else number


async def lock_source(tx: AsyncConnection, organization_id: UUID, source: str) -> bool:
    """Lock a source until the transaction ends; return False if another transaction has it."""
    locked = await tx.execute(
        text("SELECT pg_try_advisory_xact_lock(:lock)"),
        {"lock": _lock_id(organization_id, source)},
    )
    return bool(locked.scalar_one())


async def insert_run(
    tx: AsyncConnection, organization_id: UUID, source: str, kind: str, now: datetime
) -> int:
    """Store a new run and return its number; mark an unfinished earlier run as interrupted.

    The caller holds the lock of the source, so no other run is in progress. Runs beyond the
    latest `_MAX_STORED_RUNS` are deleted.
    """
    upsert = insert_or_update(Source).values(
        organization_id=organization_id, source=source, kind=kind, connected_at=now
    )
    await tx.execute(
        upsert.on_conflict_do_update(
            index_elements=("organization_id", "source"), set_={"kind": kind}
        )
    )
    parameters = {"organization_id": organization_id, "source": source, "now": now}
    await tx.execute(
        text("""
            UPDATE source_run SET outcome = 'INTERRUPTED'
            WHERE organization_id = :organization_id AND source = :source
              AND outcome = 'RUNNING'
        """),
        {"organization_id": organization_id, "source": source},
    )
    inserted = await tx.execute(
        text("""
            INSERT INTO source_run (organization_id, source, number, started_at, outcome)
            SELECT organization_id, source,
                   (SELECT coalesce(max(number), 0) + 1 FROM source_run
                    WHERE organization_id = :organization_id AND source = :source),
                   CAST(:now AS timestamptz), 'RUNNING'
            FROM source WHERE organization_id = :organization_id AND source = :source
            RETURNING number
        """),
        parameters,
    )
    number = int(inserted.scalar_one())
    await tx.execute(
        delete(SourceRun).where(
            SourceRun.organization_id == organization_id,
            SourceRun.source == source,
            SourceRun.number <= number - _MAX_STORED_RUNS,
        )
    )
    return number


async def add_to_run(
    tx: AsyncConnection,
    organization_id: UUID,
    source: str,
    number: int,
    *,
    accepted: int,
    duplicates: int,
    skipped_count: int,
    skipped: Sequence[SkippedItem],
) -> bool:
    """Add to the counts of a run; return False if the run is no longer in progress."""
    updated = await tx.execute(
        text("""
            UPDATE source_run SET
                accepted = accepted + :accepted,
                duplicates = duplicates + :duplicates,
                skipped_count = skipped_count + :skipped_count,
                skipped = skipped || CAST(:skipped AS jsonb)
            WHERE organization_id = :organization_id AND source = :source AND number = :number
              AND outcome = 'RUNNING'
            RETURNING number
        """),
        {
            "organization_id": organization_id,
            "source": source,
            "number": number,
            "accepted": accepted,
            "duplicates": duplicates,
            "skipped_count": skipped_count,
            "skipped": orjson.dumps([each._asdict() for each in skipped]).decode(),
        },
    )
    return updated.first() is not None


async def finish_run(
    tx: AsyncConnection,
    organization_id: UUID,
    source: str,
    number: int,
    *,
    outcome: str,
    error: str | None,
    now: datetime,
) -> None:
    """Store the outcome of a run."""
    await tx.execute(
        text("""
            UPDATE source_run SET outcome = :outcome, error = :error,
                                  finished_at = CAST(:now AS timestamptz)
            WHERE organization_id = :organization_id AND source = :source AND number = :number
              AND outcome = 'RUNNING'
        """),
        {
            "organization_id": organization_id,
            "source": source,
            "number": number,
            "outcome": outcome,
            "error": error,
            "now": now,
        },
    )


async def select_sources(tx: AsyncConnection, organization_id: UUID) -> Sequence[Any]:
    """Select the sources by name, each with its last run.

    Columns: `source`, `kind`, `connected_at`, and those of `_RUN_COLUMNS`, which are null before
    the first run.
    """
    last_run = (
        select(*_RUN_COLUMNS)
        .where(
            SourceRun.organization_id == organization_id,
            SourceRun.source == Source.source,
        )
        .order_by(SourceRun.number.desc())
        .limit(1)
        .lateral()
    )
    rows = await tx.execute(
        select(Source.source, Source.kind, Source.connected_at, last_run)
        .outerjoin(last_run, text("true"))
        .where(Source.organization_id == organization_id)
        .order_by(Source.source)
    )
    return rows.all()


_RUN_COLUMNS = (
    SourceRun.number,
    SourceRun.started_at,
    SourceRun.finished_at,
    SourceRun.outcome,
    SourceRun.accepted,
    SourceRun.duplicates,
    SourceRun.skipped_count,
    SourceRun.skipped,
    SourceRun.error,
)


async def select_runs(
    tx: AsyncConnection, organization_id: UUID, source: str, first: int
) -> Sequence[Any]:
    """Select the last runs of a source, latest first; columns are `_RUN_COLUMNS`."""
    rows = await tx.execute(
        select(*_RUN_COLUMNS)
        .where(SourceRun.organization_id == organization_id, SourceRun.source == source)
        .order_by(SourceRun.number.desc())
        .limit(first)
    )
    return rows.all()


async def select_checkpoint(
    tx: AsyncConnection,
    organization_id: UUID,
    source: str,
    family: str,
    keys: Sequence[str] | None,
) -> Sequence[Any]:
    """Select `key` and `value` of a checkpoint's entries of a family, for some keys or for all."""
    statement = select(SourceCheckpoint.key, SourceCheckpoint.value).where(
        SourceCheckpoint.organization_id == organization_id,
        SourceCheckpoint.source == source,
        SourceCheckpoint.family == family,
    )
    if keys is None:
        return (await tx.execute(statement.order_by(SourceCheckpoint.key))).all()
    rows = await tx.execute(
        statement.where(text("key = any(CAST(:keys AS text[]))")), {"keys": list(keys)}
    )
    return rows.all()


async def write_checkpoint(
    tx: AsyncConnection,
    organization_id: UUID,
    source: str,
    checkpoint: Mapping[CheckpointKey, str | None],
) -> None:
    """Store the checkpoint's entries; delete those whose value is None."""
    parameters = {"organization_id": organization_id, "source": source}
    present = {key: value for key, value in checkpoint.items() if value is not None}
    await tx.execute(
        text(f"""
            INSERT INTO source_checkpoint (organization_id, source, family, key, value)
            SELECT organization_id, CAST(:source AS varchar), family, key, value
            FROM {OWNER} CROSS JOIN
                 unnest(CAST(:families AS text[]), CAST(:keys AS text[]), CAST(:values AS text[]))
                 AS entry (family, key, value)
            ON CONFLICT (organization_id, source, family, key)
            DO UPDATE SET value = excluded.value
        """),
        parameters | _key_arrays(present) | {"values": list(present.values())},
    )
    if len(present) < len(checkpoint):
        await tx.execute(
            text("""
                DELETE FROM source_checkpoint
                WHERE organization_id = :organization_id AND source = :source
                  AND (family, key) IN (
                      SELECT family, key
                      FROM unnest(CAST(:families AS text[]), CAST(:keys AS text[]))
                           AS entry (family, key))
            """),
            parameters | _key_arrays([key for key, value in checkpoint.items() if value is None]),
        )


def _key_arrays(
    keys: Mapping[CheckpointKey, Any] | Sequence[CheckpointKey],
) -> dict[str, list[str]]:
    return {"families": [each.family for each in keys], "keys": [each.key for each in keys]}
