"""Administer the store as a whole: upgrade, verify, back up, restore, move.

These commands take the URL of a store instead of an open `Database`, because no connection may be
open to a store that one of them replaces.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from app.db.distribution import distribute, select_tables_to_distribute
from app.db.dry_run import list_statements
from app.db.engine import Database
from app.db.migrations import LOCK_SECONDS, list_pending, migrate, upgrade
from app.domain.errors import ChargebackError
from app.domain.months import Month
from app.postgres.dumps import DumpFailed, verify_dump, write_dump
from app.postgres.staging import (
    StoreNotEmpty,
    replace_store,
    require_exclusive_access,
    require_one_server,
    select_row_counts,
)
from app.services.month_verification import verify_month
from app.services.months import list_months
from app.services.organizations import list_organizations

OnMonth = Callable[[str, Month], None]
"""Called with the organization and the month before each month is verified."""

_BACKUP_PATTERN = "chargeback-[0-9]*T[0-9]*Z.dump"


class VerificationFailed(ChargebackError):
    """A restored or moved store lacks rows, or its months differ from its events."""

    code, status = "VERIFICATION_FAILED", 500


async def pending_migrations(url: str) -> Sequence[str]:
    """Return the migrations that an upgrade would run, in order, each as `0002 What it does`."""
    async with _open_database(url) as database, database.owner_transaction() as tx:
        return await list_pending(tx)


async def upgrade_store(url: str, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Upgrade the schema to this release, in one transaction.

    Args:
        url: The store.
        lock_seconds: How long to wait for the lock of a table.

    Raises:
        StoreUnavailable: A table stayed locked, or the server cannot be reached.
    """
    async with _open_database(url) as database, database.owner_transaction() as tx:
        await upgrade(tx, lock_seconds=lock_seconds)


async def dry_run_upgrade(url: str, *, lock_seconds: int = LOCK_SECONDS) -> Sequence[str]:
    """Run an upgrade, roll it back, and return the statements that it executed."""
    async with _open_database(url) as database:
        return await list_statements(database, lambda tx: upgrade(tx, lock_seconds=lock_seconds))


async def list_tables_to_distribute(url: str) -> Sequence[str]:
    """Return the tables that `distribute_store` would distribute.

    Raises:
        CitusMissing: The database does not have the extension Citus.
    """
    async with _open_database(url) as database, database.owner_transaction() as tx:
        return await select_tables_to_distribute(tx)


async def distribute_store(url: str) -> Sequence[str]:
    """Distribute the store over the nodes of Citus, in one transaction; return the tables.

    Raises:
        CitusMissing: The database does not have the extension Citus.
        StoreInUse: Other connections are open.
    """
    await require_exclusive_access(url)
    async with _open_database(url) as database, database.owner_transaction() as tx:
        await upgrade(tx)
        return await distribute(tx)


def choose_backup_file(target: Path, now: datetime) -> Path:
    """Return the path for a new backup. In a folder, the name contains the time.

    Raises:
        DumpFailed: The folder cannot be read.
        StoreNotEmpty: The file exists.
    """
    try:
        file = target / f"chargeback-{now:%Y%m%dT%H%M%SZ}.dump" if target.is_dir() else target
        if file.exists():
            raise StoreNotEmpty(
                f"{file} exists; a backup never overwrites a file. Choose another name."
            )
    except OSError as error:
        raise DumpFailed(f"{target}: {error.strerror}.") from None
    return file


async def back_up(url: str, file: Path, *, programs: Path | None) -> None:
    """Dump the store. The service may run meanwhile.

    Raises:
        DumpFailed: pg_dump failed, or the file cannot be written.
        StoreDistributed: The store is distributed.
    """
    await require_one_server(url)
    await write_dump(url, file, programs)


def delete_old_backups(folder: Path, keep: int, *, written: Path) -> Sequence[Path]:
    """Delete all but the newest `keep` backups in a folder; return those deleted.

    The one just `written` stays, even if a clock that was ahead named others later. Files with
    names of their own stay, too.
    """
    old = [file for file in sorted(folder.glob(_BACKUP_PATTERN))[:-keep] if file != written]
    for file in old:
        file.unlink()
    return old


async def restore(
    url: str,
    file: Path,
    now: datetime,
    *,
    replace: bool,
    verify: bool,
    programs: Path | None,
    on_month: OnMonth,
) -> None:
    """Replace the store by a backup, and verify it. On any error the store stays as it was.

    Args:
        url: The store. No other connection may be open.
        file: A backup that this release or an earlier one has written.
        now: The current time.
        replace: Whether a store that contains events may be replaced.
        verify: Whether to recompute each month from its events and compare.
        programs: As for `write_dump`.
        on_month: Called before each month is verified.

    Raises:
        NoDump, DumpFailed, StoreDistributed, StoreInUse, StoreNotEmpty, VerificationFailed: The
            store is as it was.
    """
    verify_dump(file)
    await require_one_server(url)
    try:
        async with replace_store(url, may_drop_events=replace) as staging:
            await staging.load(file, programs)
            await _migrate_schema(staging.url)
            if verify:
                await verify_store(staging.url, now, on_month)
    except StoreNotEmpty as error:
        hint = "Add --replace to replace them by the backup."
        raise StoreNotEmpty(f"{error} {hint}") from None


async def move(
    source: str, target: str, now: datetime, *, programs: Path | None, on_month: OnMonth
) -> None:
    """Copy a store to another server, compare the row counts, and verify it there.

    Args:
        source: The store to copy; it does not change. No other connection may be open.
        target: A database without events.
        now: The current time.
        programs: As for `write_dump`.
        on_month: Called before each month is verified.

    Raises:
        DumpFailed, StoreDistributed, StoreInUse, StoreNotEmpty, VerificationFailed: The target is
            as it was.
    """
    await require_one_server(source)
    await require_one_server(target)
    await upgrade_store(source)
    await require_exclusive_access(source)
    try:
        async with replace_store(target, may_drop_events=False) as staging:
            await staging.copy(source, programs)
            await _migrate_schema(staging.url)
            await _require_same_row_counts(source, staging.url)
            await verify_store(staging.url, now, on_month)
    except StoreNotEmpty:
        message = "The target database contains events: choose an empty one."
        raise StoreNotEmpty(message) from None


async def _migrate_schema(url: str) -> None:
    async with _open_database(url) as database, database.owner_transaction() as tx:
        await migrate(tx)


async def _require_same_row_counts(source: str, target: str) -> None:
    expected, found = await select_row_counts(source), await select_row_counts(target)
    if found != expected:
        table = next(name for name in expected if found.get(name) != expected[name])
        raise VerificationFailed(
            f"Table {table}: {expected[table]} rows in the source, "
            f"{found.get(table)} in the target."
        )


async def verify_store(url: str, now: datetime, on_month: OnMonth) -> None:
    """Recompute every month of every organization from its events, and compare.

    Raises:
        VerificationFailed: A month differs. The message has the first difference.
    """
    async with _open_database(url) as database:
        for organization in await list_organizations(database):
            for month in await _list_months_with_rows(database, organization, now):
                on_month(organization.name, month)
                verified = await verify_month(database, organization.organization_id, month)
                if differences := verified.differences:
                    raise VerificationFailed(f"{organization.name}, {month}: {differences[0]}")


async def _list_months_with_rows(
    database: Database, organization: Any, now: datetime
) -> list[Month]:
    """Return the months up to the last event; later ones have no rows of their own."""
    states = await list_months(database, organization.organization_id, now)
    last = organization.last_month
    return [state.month for state in states if last and state.month <= last]


@asynccontextmanager
async def _open_database(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2)
    try:
        yield database
    finally:
        await database.close()
