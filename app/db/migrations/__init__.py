"""The schema's history, and the way to its latest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.islands import secure

# Any 64-bit number that nobody else locks: it lets one of several starting processes migrate.
_LOCK = 0x636861726765


async def upgrade(connection: AsyncConnection) -> None:
    """Bring the schema to its latest version, within the caller's transaction (`upkeep`).

    Afterwards each table has its row-level security, those that a migration adds included. A
    table that is in use for longer than the lock time-out stops the upgrade, not the service.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    await connection.run_sync(_upgrade)
    await secure(connection)


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings, which live here and not in a file of their own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
