"""Schema migrations: upgrade a store to the latest revision."""

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

from app.db.distribution import distribute_new_tables
from app.db.row_security import create_policies
from app.db.staging_schema import drop_abandoned_staging_schema
from app.domain.errors import StoreFromPrerelease, StoreUnavailable

_log = logging.getLogger(__name__)

# The key of the advisory lock that lets one of several starting processes migrate. Any 64-bit
# number that nothing else locks will do.
LOCK = 0x636861726765
LOCK_SECONDS = 5
_LOCK_NOT_AVAILABLE = "55P03"

# The revisions of development versions before 1.0, which `0001_initial` replaced.
_PRERELEASE_REVISIONS = frozenset(f"{number:04}" for number in range(1, 12))


async def upgrade(connection: AsyncConnection, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Upgrade the schema to the latest revision, within the caller's owner transaction.

    Every table has row-level security afterwards, and the service's role exactly the privileges
    that it needs. A schema of a later release is left alone: this release can work on it
    (docs/install/upgrade.md).

    Raises:
        StoreFromPrerelease: A development version before 1.0 created the store.
        StoreUnavailable: A table was in use for longer than `lock_seconds`.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    await drop_abandoned_staging_schema(connection)
    await migrate(connection, lock_seconds=lock_seconds)


async def migrate(connection: AsyncConnection, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Upgrade the schema like `upgrade`, for a caller that holds the migration lock already.

    Raises:
        StoreFromPrerelease: A development version before 1.0 created the store.
        StoreUnavailable: A table was in use for longer than `lock_seconds`.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds}s'"))
    try:
        if await connection.run_sync(_upgrade):
            await distribute_new_tables(connection)
            await create_policies(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreUnavailable(
            f"The schema was not upgraded, because a table was in use for longer than "
            f"{lock_seconds} s. Nothing was changed; try again at a quieter time."
        ) from error


def _upgrade(connection: Connection) -> bool:
    """Run the pending migrations; return False if the schema is of a later release."""
    config = alembic_config(connection)
    revision = _current_revision(connection)
    if revision is not None and not _is_known(config, revision):
        _log.warning("The store's schema, %s, is of a later release.", revision)
        return False
    command.upgrade(config, "head")
    return True


def _current_revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision in _PRERELEASE_REVISIONS:
        raise StoreFromPrerelease(revision)
    return revision


def _is_known(config: Config, revision: str) -> bool:
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    return revision in {script.revision for script in revisions}


async def list_pending(connection: AsyncConnection) -> Sequence[str]:
    """Return the migrations that an upgrade would run, in order, each as `0002 Title`.

    Raises:
        StoreFromPrerelease: A development version before 1.0 created the store.
    """
    return await connection.run_sync(_list_pending)


def _list_pending(connection: Connection) -> Sequence[str]:
    config = alembic_config(connection)
    revision = _current_revision(connection)
    if revision is not None and not _is_known(config, revision):
        return []
    scripts = ScriptDirectory.from_config(config).iterate_revisions("head", revision or "base")
    latest_first = [f"{script.revision} {script.doc}" for script in scripts if script is not None]
    return latest_first[::-1]


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for this connection; there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def is_behind(revision: str | None) -> bool:
    """Return whether a store at this revision lacks tables or columns that this release needs.

    An unknown revision belongs to a later release, whose schema this release can work on.
    """
    revisions, head = _read_history()
    is_older = revision in revisions or revision in _PRERELEASE_REVISIONS
    return revision is None or (revision != head and is_older)


@cache
def _read_history() -> tuple[frozenset[str], str | None]:
    scripts = ScriptDirectory(str(Path(__file__).parent))
    return frozenset(script.revision for script in scripts.walk_revisions()), (
        scripts.get_current_head()
    )
