"""The organization of spec section 11 in an embedded store, loaded once and kept."""

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
        folder: The data folder, for a service that is to join it.
        url: The database.
        closed_url: A clone of it in which the month is closed.
        database: The product's way to it.
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


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@asynccontextmanager
async def benchmark_store() -> AsyncIterator[Store]:
    """The benchmark's organization; made and loaded on the first run, kept for later ones."""
    folder = CACHE / "store"
    settings = Settings.load(database_url=None)
    async with open_store(settings, folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        if not (folder / _LOADED).exists():
            await _load(database, organization_id, _events(folder))
            (folder / _LOADED).touch()
        key = await create_api_key(database, organization_id)
        async with EmbeddedPostgres(folder / "postgres") as server:
            url = with_database_name(server.url, "chargeback")
            closed_url = with_database_name(server.url, _CLOSED)
        yield Store(
            folder,
            url,
            await _closed_clone(url, closed_url),
            database,
            organization_id,
            _caller(organization_id),
            key,
        )


def _caller(organization_id: UUID) -> Caller:
    return Caller(
        organization_id=organization_id,
        organization=DEFAULT_ORGANIZATION,
        username=DEMO_ADMIN,
        key_id="",
        scopes=frozenset({Scope.ADMIN}),
        is_admin=True,
        is_listed_admin=True,
    )


def _events(folder: Path) -> Path:
    file = folder / "events.ndjson.gz"
    if not file.exists():
        say("Generating the organization …")
        lines = generate_events(OrganizationShape.benchmark(1), seed=SEED, until=UNTIL)
        unfinished = file.with_suffix(".unfinished")
        with gzip.open(unfinished, "wb", compresslevel=1) as out:
            out.writelines(lines)
        unfinished.rename(file)
    return file


async def _load(database: Database, organization_id: UUID, file: Path) -> None:
    say(f"Loading {file.name} through the product's import …")
    chunks = EventFiles([str(file)]).chunks()
    accepted = await import_lines(database, organization_id, chunks, system_clock())
    say(f"IngestResult {accepted.accepted:,} events.")
    async with database.engine.connect() as connection:
        raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await raw.exec_driver_sql("VACUUM ANALYZE")


async def create_api_key(database: Database, organization_id: UUID) -> str:
    """A key of an admin; listed, so that an organization without that user knows it too."""
    api_key = await create_key(
        database,
        organization_id,
        username=DEMO_ADMIN,
        scopes=[Scope.ADMIN],
        label="bench",
        expires_at=None,
        now=system_clock(),
    )
    return str(api_key.text)


async def _closed_clone(url: str, closed_url: str) -> str:
    """A copy of the database with its month closed; made anew, so that it knows today's key."""
    await close_idle(url)
    admin = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {_CLOSED} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {_CLOSED} TEMPLATE chargeback STRATEGY file_copy")
    finally:
        await admin.close()
    database = Database(closed_url, pool_size=2)
    try:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        now = system_clock()
        await close_month(database, found.organization_id, MONTH, by=OPERATOR, now=now)
    finally:
        await database.close()
    return closed_url


async def close_idle(url: str) -> None:
    """End other connections: a template must have none. Pools notice and connect again."""
    admin = await asyncpg.connect(with_database_name(url, "postgres"))
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'chargeback'"
        )
        await asyncio.sleep(0.2)
    finally:
        await admin.close()


_EVENTS_A_MONTH = 20_000
"""Fewer than such an organization has in a month on average; some months have fewer still."""


def feed_lines(count: int) -> Iterator[bytes]:
    """Events of a lifelike organization, in the demo's mix, in order of time."""
    months = min(OrganizationShape.LIMITS["months"][1], max(2, count // _EVENTS_A_MONTH))
    shape = OrganizationShape(workspaces=100, users=2_000, months=months, usage_events_per_user=9)
    return islice(generate_events(shape, seed=SEED, until=UNTIL), count)
