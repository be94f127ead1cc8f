"""The benchmark's organization in an embedded store, loaded once and reused."""

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import asyncpg

from app.cli.imports import EventFiles
from app.clock import system_clock
from app.db.engine import Database
from app.demo.generate import DEMO_ADMIN, OrganizationShape, generate_events
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION, Caller, Scope
from app.domain.months import Month
from app.postgres.database import with_database_name
from app.postgres.embedded import EmbeddedPostgres
from app.server.store import open_store
from app.services.file_import import import_lines
from app.services.keys import create_key
from app.services.months import close_month
from app.services.organizations import find_organization
from app.settings import Settings

CACHE = Path(__file__).parent / ".cache"
SEED = 2026
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
MONTH = Month(2026, 10)
_CLOSED = "chargeback_closed"
_LOADED = "loaded"


@dataclass(frozen=True, slots=True)
class Store:
    """A loaded store.

    Attributes:
        folder: The data folder; a service may use it at the same time.
        url: The database.
        closed_url: A clone of the database in which the month is closed.
        database: The same database, as the product opens it.
        caller: An admin of the organization.
        key: An API key of that admin; it works in both databases.
    """

    folder: Path
    url: str
    closed_url: str
    database: Database
    organization_id: UUID
    caller: Caller
    key: str


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@asynccontextmanager
async def benchmark_store() -> AsyncIterator[Store]:
    """Open the store. The first run generates and loads the organization; later runs reuse it."""
    folder = CACHE / "store"
    settings = Settings.load(database_url=None)
    async with open_store(settings, folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        if not (folder / _LOADED).exists():
            await _load(database, organization_id, _generate_events_file(folder))
            (folder / _LOADED).touch()
        key = await create_api_key(database, organization_id)
        async with EmbeddedPostgres(folder / "postgres") as server:
            url = with_database_name(server.url, "chargeback")
            closed_url = with_database_name(server.url, _CLOSED)
        yield Store(
            folder,
            url,
            await _create_closed_clone(url, closed_url),
            database,
            organization_id,
            create_caller(organization_id),
            key,
        )


def create_caller(organization_id: UUID) -> Caller:
    """Return an admin of the organization."""
    return Caller(
        organization_id=organization_id,
        organization=DEFAULT_ORGANIZATION,
        username=DEMO_ADMIN,
        key_id="",
        scopes=frozenset({Scope.ADMIN}),
        is_admin=True,
        is_listed_admin=True,
    )


def _generate_events_file(folder: Path) -> Path:
    file = folder / "events.ndjson.gz"
    if not file.exists():
        say("Generating the organization …")
        lines = generate_events(OrganizationShape.benchmark(1), seed=SEED, until=UNTIL)
        temporary = file.with_suffix(".temporary")
        with gzip.open(temporary, "wb", compresslevel=1) as out:
            out.writelines(lines)
        temporary.rename(file)
    return file


async def _load(database: Database, organization_id: UUID, file: Path) -> None:
    say(f"Loading {file.name} through the product's import …")
    chunks = EventFiles([str(file)]).chunks()
    result = await import_lines(database, organization_id, chunks, system_clock())
    say(f"Accepted {result.accepted:,} events.")
    async with database.engine.connect() as connection:
        raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await raw.exec_driver_sql("VACUUM ANALYZE")


async def create_api_key(database: Database, organization_id: UUID) -> str:
    """Create an API key that may do everything but change roles."""
    api_key = await create_key(
        database,
        organization_id,
        username=DEMO_ADMIN,
        scopes=[Scope.ADMIN, Scope.EVENTS_WRITE],
        label="bench",
        expires_at=None,
        now=system_clock(),
    )
    return str(api_key.text)


async def _create_closed_clone(url: str, closed_url: str) -> str:
    """Clone the database and close its month. Each run needs a new clone, with the new API key."""
    await close_idle(url)
    admin = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {_CLOSED} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {_CLOSED} TEMPLATE chargeback STRATEGY file_copy")
    finally:
        await admin.close()
    database = Database(closed_url, pool_size=2)
    try:
        organization = await find_organization(database, DEFAULT_ORGANIZATION)
        now = system_clock()
        await close_month(database, organization.organization_id, MONTH, by=OPERATOR, now=now)
    finally:
        await database.close()
    return closed_url


async def close_idle(url: str) -> None:
    """End other connections, since a template may have none. Pools reconnect by themselves."""
    admin = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chargeback'"
        )
        await asyncio.sleep(0.2)
    finally:
        await admin.close()


_EVENTS_A_MONTH = 20_000
"""A lower bound for an average month of such an organization; single months may have fewer."""


def feed_lines(count: int) -> Iterator[bytes]:
    """Return events of an organization like the demo's, in order of time."""
    months = min(OrganizationShape.LIMITS["months"][1], max(2, count // _EVENTS_A_MONTH))
    shape = OrganizationShape(workspaces=100, users=2_000, months=months, usage_events_per_user=9)
    return islice(generate_events(shape, seed=SEED, until=UNTIL), count)
