"""Fixtures for all tests: a real PostgreSQL, a database per test, a clock, the application."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from sqlalchemy import event as sqlalchemy_event
from starlette.applications import Starlette

from app.db.engine import Database
from app.db.migrations import upgrade
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.event_decoding import decode_lines
from app.ingest.store import IngestResult
from app.main import create_app
from app.postgres.database import with_database_name
from app.postgres.embedded import EmbeddedPostgres
from app.services.group_commit import GroupCommitIngestor
from app.services.keys import create_key
from app.services.organizations import (
    create_organization,
    ensure_default_organization,
    find_organization,
)
from app.settings import Settings
from tests.statement_rules import StatementCollector, check_statements

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""The time on a test's clock until the test sets it."""

_TEMPLATE = "chargeback_template"
_numbers = itertools.count(1)
_statements = StatementCollector()


@pytest.fixture(scope="session", autouse=True)
def _collect_statements() -> Iterator[None]:
    """Collect the statements that tests send."""
    with _statements.observe_engines():
        yield


@pytest.fixture(autouse=True)
def _check_statements(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that Citus could pass the statements of this test on to one node."""
    yield
    new = _statements.take_new()
    if request.node.get_closest_marker("own_sql") is None:
        check_statements(new)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rounds`: fault tests strike at random moments, so `make faults` repeats them."""
    parser.addoption("--rounds", type=int, default=1, help="how often to inject each fault")


@dataclass
class FixedClock:
    """A clock that shows the time that a test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def event(
    type: str, time: str, *, id: str | None = None, source: str = "/test", **data: object
) -> bytes:
    """Return one CloudEvent as a line of JSON. `data` uses the feed's spelling; ids count up."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id or f"event-{next(_numbers)}",
            "source": source,
            "type": type,
            "time": time,
            "data": data,
        }
    )


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a PostgreSQL server that runs for this test session."""
    async with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        # Durability does not matter here; crash tests start servers of their own.
        for setting in ("fsync", "full_page_writes"):
            await execute_as_superuser(server.url, f"ALTER SYSTEM SET {setting} = off")
        await execute_as_superuser(server.url, "SELECT pg_reload_conf()")
        yield server.url


@pytest.fixture(scope="session")
async def template(postgres: str) -> str:
    """The name of a migrated database with the default organization, for cloning."""
    await execute_as_superuser(postgres, f"CREATE DATABASE {_TEMPLATE}")
    database = Database(with_database_name(postgres, _TEMPLATE), pool_size=1)
    async with database.owner_transaction() as tx:
        await upgrade(tx)
    await ensure_default_organization(database, NOW)
    await database.close()
    return _TEMPLATE


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[Database]:
    """An empty store for this test."""
    async with ClonedDatabase(postgres, template) as database:
        yield database


class ClonedDatabase:
    """A clone of the template database that lasts for one `async with` block."""

    def __init__(self, postgres: str, template: str) -> None:
        self._postgres, self._template = postgres, template
        self._name = f"chargeback_test_{next(_numbers)}"

    @property
    def url(self) -> str:
        return with_database_name(self._postgres, self._name)

    async def __aenter__(self) -> Database:
        await execute_as_superuser(
            self._postgres,
            f"CREATE DATABASE {self._name} TEMPLATE {self._template} STRATEGY wal_log",
        )
        self._database = Database(self.url, pool_size=5)
        self._database.read_observers.append(_statements.observe_read)
        return self._database

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()
        await execute_as_superuser(self._postgres, f"DROP DATABASE {self._name} WITH (FORCE)")


async def execute_as_superuser(url: str, command: str) -> None:
    """Execute a command as the server's superuser."""
    connection = await asyncpg.connect(url)
    await connection.execute(command)
    await connection.close()


@pytest.fixture
def settings() -> Settings:
    """Default settings; a test that needs others calls `Settings.load`."""
    return Settings.load()


@pytest.fixture
def clock() -> FixedClock:
    """The test's clock."""
    return FixedClock()


@dataclass
class Feed:
    """Stores events in an organization; each call is one batch."""

    database: Database
    clock: FixedClock
    organization: str = DEFAULT_ORGANIZATION

    async def __call__(self, *lines: bytes) -> IngestResult:
        found = await find_organization(self.database, self.organization)
        events = decode_lines(lines, now=self.clock.now)
        return await GroupCommitIngestor(self.database).submit(
            found.organization_id, events, self.clock.now
        )


@pytest.fixture
def feed(database: Database, clock: FixedClock) -> Feed:
    """Stores batches in the default organization."""
    return Feed(database, clock)


MakeKey = Callable[..., Awaitable[str]]


async def create_api_key(
    database: Database,
    clock: FixedClock,
    username: str,
    *scopes: Scope,
    organization: str = DEFAULT_ORGANIZATION,
    cost_centres: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> str:
    """Create a key and return its text; it has the scope `report:read` unless others are given."""
    found = await find_organization(database, organization)
    created = await create_key(
        database,
        found.organization_id,
        username=username,
        scopes=scopes or (Scope.REPORT_READ,),
        cost_centres=cost_centres,
        label="test",
        expires_at=expires_at,
        now=clock.now,
    )
    return str(created.text)


@pytest.fixture
def make_key(database: Database, clock: FixedClock) -> MakeKey:
    """Creates a key: `await make_key("ann", Scope.ADMIN, organization="default")`."""
    return partial(create_api_key, database, clock)


@pytest.fixture
async def other_organization(database: Database, clock: FixedClock) -> str:
    """A second organization, named `other`."""
    await create_organization(database, "other", clock.now)
    return "other"


@pytest.fixture
async def admin_key(feed: Feed, make_key: MakeKey) -> str:
    """A key with every scope, of an admin in ADMIN_USER_LIST who is in no event."""
    return await make_key("root", Scope.ADMIN, Scope.DIRECTORY_WRITE)


@pytest.fixture
async def client(database: Database, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application; `root` is in ADMIN_USER_LIST."""
    settings = Settings.load(admin_user_list="root")
    async with create_client(database, settings, clock) as client:
        yield client


def create_client(database: Database, settings: Settings, clock: FixedClock) -> httpx.AsyncClient:
    """Return an HTTP client of a new application with these settings."""
    transport = _Transport(create_app(settings, database, clock))
    return httpx.AsyncClient(transport=transport, base_url="http://chargeback.test")


class _Transport(httpx.ASGITransport):
    """Stops the application on close, so that pending audit events are written."""

    def __init__(self, application: Starlette) -> None:
        super().__init__(application, raise_app_exceptions=False)
        self._application = application

    async def aclose(self) -> None:
        await self._application.state.chargeback.audit.close()


@dataclass
class GraphQLClient:
    """Sends GraphQL queries, with the admin's key unless another is given."""

    client: httpx.AsyncClient
    key: str

    async def execute(
        self, query: str, variables: dict[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """Execute a query; return the whole response, errors included."""
        response = await self.client.post(
            "/graphql",
            json={"query": query, "variables": variables or {}},
            headers={"Authorization": key or self.key},
        )
        found: dict[str, Any] = response.json()
        return found

    async def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        """Execute a query that must succeed; return its data."""
        response = await self.execute(query, variables)
        assert "errors" not in response, response["errors"]
        found: dict[str, Any] = response["data"]
        return found


@pytest.fixture
def graphql(client: httpx.AsyncClient, admin_key: str) -> GraphQLClient:
    """Sends GraphQL queries with the admin's key."""
    return GraphQLClient(client, admin_key)


@dataclass
class RestClient:
    """Fetches REST reports, with the admin's key unless another is given."""

    client: httpx.AsyncClient
    key: str

    async def get(self, key: str | None = None, **parameters: str) -> httpx.Response:
        """Fetch a report; return the whole response."""
        return await self.client.get(
            "/api/admin/chargeback/report",
            params=parameters,
            headers={"Authorization": key or self.key},
        )

    async def __call__(self, month: str | None = None) -> dict[str, Any]:
        """Fetch the report of a month, or of the current one; fail unless it is 200."""
        response = await self.get(**({"reportMonth": month} if month else {}))
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture
def rest(client: httpx.AsyncClient, admin_key: str) -> RestClient:
    """Fetches REST reports with the admin's key."""
    return RestClient(client, admin_key)


@dataclass
class StatementLog:
    """SQL texts sent to the store, without those that open and close a snapshot."""

    texts: list[str] = field(default_factory=list)


@contextmanager
def record_statements(database: Database) -> Iterator[StatementLog]:
    """Record the statements sent within a block."""
    log = StatementLog()

    def record(_: object, __: object, text: str, *___: object) -> None:
        log.texts.append(text)

    def record_read(text: str, _: object) -> None:
        log.texts.append(text)

    engine = database.engine.sync_engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", record)
    database.read_observers.append(record_read)
    try:
        yield log
    finally:
        database.read_observers.remove(record_read)
        sqlalchemy_event.remove(engine, "before_cursor_execute", record)


CONTRACT = Path(__file__).parent / "contract"
