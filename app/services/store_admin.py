"""The store as a whole: upgraded, verified, backed up, restored, moved.

These commands take a store's URL, not an open store: nobody may be connected to what one of them
replaces.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from app.db.dry_run import rehearse
from app.db.engine import Database
from app.db.migrations import LOCK_SECONDS, list_pending, migrate, upgrade
from app.domain.errors import ChargebackError
from app.domain.months import Month
from app.postgres.dumps import (
    DumpFailed,
    read_dump,
    replaced,
    require_exclusive_access,
    select_row_counts,
    verify_dump,
    write_dump,
)
from app.services.months import list_months, verify_month
from app.services.organizations import list_organizations

OnMonth = Callable[[str, Month], None]
"""Told before a month of an organization is verified."""

_KEEP_PATTERN = "chargeback-*.dump"


class StoreNotEmpty(ChargebackError):
    """What is to be filled holds events already."""

    code, status = "STORE_NOT_EMPTY", 409


class StoreIsWrong(ChargebackError):
    """A store that was copied is not what its events say, or lacks rows."""

    code, status = "STORE_WRONG", 500


async def pending_migrations(url: str) -> Sequence[str]:
    """What an upgrade would run, in order, each as `0002 What it does`."""
    async with _opened(url) as database, database.owner_transaction() as tx:
        return await list_pending(tx)


async def upgrade_store(url: str, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Bring the store's schema to this version, in one transaction.

    Args:
        url: The store.
        lock_seconds: How long to wait for a table that is in use before giving up.

    Raises:
        StoreUnavailable: A table was in use for longer, or the server cannot be reached.
    """
    async with _opened(url) as database, database.owner_transaction() as tx:
        await upgrade(tx, lock_seconds=lock_seconds)


async def rehearse_upgrade(url: str, *, lock_seconds: int = LOCK_SECONDS) -> Sequence[str]:
    """Run an upgrade on the store as it is, take it back, and say the statements it sent."""
    async with _opened(url) as database:
        return await rehearse(database, lambda tx: upgrade(tx, lock_seconds=lock_seconds))


def backup_file(target: Path, now: datetime) -> Path:
    """Where a backup goes: a file that is not there yet; in a folder, one named by the moment.

    Raises:
        DumpFailed: Nobody may look into its folder.
        StoreNotEmpty: There is such a file.
    """
    try:
        file = target / f"chargeback-{now:%Y%m%dT%H%M%SZ}.dump" if target.is_dir() else target
        if file.exists():
            raise StoreNotEmpty(f"{file}: is there already; a backup overwrites nothing.")
    except OSError as error:
        raise DumpFailed(f"{target}: {error.strerror}.") from None
    return file


async def back_up(url: str, file: Path, *, programs: Path | None) -> None:
    """Dump the store, also while it is being served.

    Raises:
        DumpFailed: pg_dump failed, or the file cannot be written.
    """
    await write_dump(url, file, programs)


def forget_old_backups(folder: Path, keep: int) -> Sequence[Path]:
    """Remove all but the latest backups that `back_up` named in a folder; those removed."""
    old = sorted(folder.glob(_KEEP_PATTERN))[:-keep]
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
    """Put a backup in the store's place: whole and, unless waived, verified; or not at all.

    Args:
        url: The store, to which nobody else is connected.
        file: What `back_up` has written, by this release or an earlier one.
        now: The moment, for which months there are.
        replace: Whether a store that holds events may go.
        verify: Whether each month is worked out again from its events.
        programs: As for `write_dump`.
        on_month: Told of each month that is verified.

    Raises:
        NoDump, DumpFailed, StoreInUse, StoreNotEmpty, StoreIsWrong: The store is as it was.
    """
    verify_dump(file)
    if not replace and (await select_row_counts(url)).get("event"):
        raise StoreNotEmpty(
            "The store holds events: add --replace to put the backup in its place."
        )
    async with replaced(url):
        await read_dump(url, file, programs)
        await _made_current(url)
        if verify:
            await verify_store(url, now, on_month)


async def move(
    source: str, target: str, now: datetime, *, programs: Path | None, on_month: OnMonth
) -> None:
    """Copy a store to another server, row by row the same, and verify it there.

    Args:
        source: A store, to which nobody else is connected; it stays as it is.
        target: A database without events.
        now: The moment.
        programs: As for `write_dump`.
        on_month: Told of each month that is verified.

    Raises:
        DumpFailed, StoreInUse, StoreNotEmpty, StoreIsWrong: The target is as it was.
    """
    await upgrade_store(source)
    await require_exclusive_access(source)
    if (await select_row_counts(target)).get("event"):
        raise StoreNotEmpty("The database to move to holds events already: choose another.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "move.dump"
        await write_dump(source, file, programs)
        async with replaced(target):
            await read_dump(target, file, programs)
            await _made_current(target)
            await _insist_on_same_rows(source, target)
            await verify_store(target, now, on_month)


async def _made_current(url: str) -> None:
    async with _opened(url) as database, database.owner_transaction() as tx:
        await migrate(tx)


async def _insist_on_same_rows(source: str, target: str) -> None:
    expected, found = await select_row_counts(source), await select_row_counts(target)
    if found != expected:
        table = next(name for name in expected if found.get(name) != expected[name])
        raise StoreIsWrong(f"{table}: {expected[table]} rows became {found.get(table)}.")


async def verify_store(url: str, now: datetime, on_month: OnMonth) -> None:
    """Work out every month of every organization again from its events, and compare.

    Raises:
        StoreIsWrong: A month differs; says which, and where first.
    """
    async with _opened(url) as database:
        for organization in await list_organizations(database):
            for month in await _months_with_rows(database, organization, now):
                on_month(organization.name, month)
                verified = await verify_month(database, organization.organization_id, month)
                if wrong := verified.differences:
                    raise StoreIsWrong(f"{organization.name}, {month}: {wrong[0]}")


async def _months_with_rows(database: Database, organization: Any, now: datetime) -> list[Month]:
    """Months after the last event have none: their reports carry its stocks."""
    states = await list_months(database, organization.organization_id, now)
    last = organization.last_month
    return [state.month for state in states if last and state.month.first_day <= last]


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2)
    try:
        yield database
    finally:
        await database.close()
