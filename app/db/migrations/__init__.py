"""The schema's history, and the way to its latest version."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.row_security import secure
from app.domain.errors import StoreUnavailable

_log = logging.getLogger(__name__)

# Any 64-bit number that nobody else locks: it lets one of several starting processes migrate.
LOCK = 0x636861726765
LOCK_SECONDS = 5
_LOCK_NOT_AVAILABLE = "55P03"


async def upgrade(connection: AsyncConnection, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Bring the schema to its latest version, within the caller's transaction (`upkeep`).

    Afterwards each table has its row-level security, those that a migration adds included. A
    table that is in use for longer than the lock time-out stops the upgrade, not the service.
    A schema of a later release is left as it is: it serves this one too (docs/install/upgrade.md).
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    await migrate(connection, lock_seconds=lock_seconds)


async def migrate(connection: AsyncConnection, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """As `upgrade`, for one who holds the lock of migrations already.

    Raises:
        StoreUnavailable: A table was in use for longer.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds}s'"))
    try:
        await connection.run_sync(_upgrade)
        await secure(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreUnavailable(
            f"A table was in use for longer than {lock_seconds} s, so that the schema could not "
            "be upgraded: nothing was changed. Try again when less is going on."
        ) from error


def _upgrade(connection: Connection) -> None:
    config = alembic_config(connection)
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or _knows(config, revision):
        command.upgrade(config, "head")
    else:
        _log.warning("The store's schema, %s, is of a later release.", revision)


def _knows(config: Config, revision: str) -> bool:
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    return revision in {script.revision for script in revisions}


async def pending(connection: AsyncConnection) -> Sequence[str]:
    """The migrations that an upgrade would run, in order, each as `0002 What it does`."""
    return await connection.run_sync(_pending)


def _pending(connection: Connection) -> Sequence[str]:
    config = alembic_config(connection)
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and not _knows(config, revision):
        return []
    scripts = ScriptDirectory.from_config(config).iterate_revisions("head", revision or "base")
    found = [f"{script.revision} {script.doc}" for script in scripts if script is not None]
    return found[::-1]


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings, which live here and not in a file of their own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def is_behind(revision: str | None) -> bool:
    """Whether a store at this revision lacks what this version of the code needs.

    A revision that we do not know is of a newer version, whose migrations the code of the
    version before it can live with.
    """
    older, head = _history()
    return revision is None or (revision != head and revision in older)


@cache
def _history() -> tuple[frozenset[str], str | None]:
    scripts = ScriptDirectory(str(Path(__file__).parent))
    return frozenset(script.revision for script in scripts.walk_revisions()), (
        scripts.get_current_head()
    )
