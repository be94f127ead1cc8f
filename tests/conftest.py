"""What every test stands on: a real PostgreSQL, its own database, a clock, the application."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import orjson
import pytest
from sqlalchemy import event as sqlalchemy_event
from starlette.applications import Starlette

from app.db.engine import Database
from app.db.migrations import upgrade
from app.domain.callers import Scope
from app.domain.events import decode_lines
from app.ingest.store import IngestResult
from app.main import create_app
from app.postgres.embedded import EmbeddedPostgres
from app.services.ingestion import GroupCommitIngestor
from app.services.keys import create_key
from app.services.organizations import (
    DEFAULT,
    create_organization,
    ensure_default_organization,
    find_organization,
)
from app.settings import Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""What the clock of a test says unless the test sets it."""

_TEMPLATE = "chargeback_template"
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tests of accidents meet other moments each time: `make faults` repeats them."""
    parser.addoption("--rounds", type=int, default=1, help="how often to do each accident")


@dataclass
class FixedClock:
    """A clock that stands where a test puts it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def event(
    type: str, time: str, *, id: str | None = None, source: str = "/test", **data: object
) -> bytes:
    """One CloudEvent as a line of JSON; `data` is spelled as in the feed. Ids count up."""
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
    """The URL of a running PostgreSQL that this run has for itself."""
    async with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        # Nothing here must outlive a crash; what must is tested with servers of its own.
        for setting in ("fsync", "full_page_writes"):
            await administer(server.url, f"ALTER SYSTEM SET {setting} = off")
        await administer(server.url, "SELECT pg_reload_conf()")
        yield server.url


@pytest.fixture(scope="session")
async def template(postgres: str) -> str:
    """The name of a migrated database with the default organization, to be cloned."""
    await administer(postgres, f"CREATE DATABASE {_TEMPLATE}")
    database = Database(named(postgres, _TEMPLATE), connections=1)
    async with database.owner_transaction() as tx:
        await upgrade(tx)
    await ensure_default_organization(database, NOW)
    await database.close()
    return _TEMPLATE


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[Database]:
    """A store of the test's own."""
    async with cloned(postgres, template) as database:
        yield database


class cloned:  # noqa: N801  used like a function
    """A clone of the template for the length of a block, also for tests that need several."""

    def __init__(self, postgres: str, template: str) -> None:
        self._postgres, self._template = postgres, template
        self._name = f"chargeback_test_{next(_numbers)}"

    @property
    def url(self) -> str:
        return named(self._postgres, self._name)

    async def __aenter__(self) -> Database:
        await administer(
            self._postgres,
            f"CREATE DATABASE {self._name} TEMPLATE {self._template} STRATEGY wal_log",
        )
        self._database = Database(self.url, connections=5)
        return self._database

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()
        await administer(self._postgres, f"DROP DATABASE {self._name} WITH (FORCE)")


def named(url: str, name: str) -> str:
    """The same server's database of another name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def administer(url: str, command: str) -> None:
    """A command of the server's superuser."""
    connection = await asyncpg.connect(url)
    await connection.execute(command)
    await connection.close()


@pytest.fixture
def settings() -> Settings:
    """The defaults; a test that needs others makes them with `Settings.load`."""
    return Settings.load()


@pytest.fixture
def clock() -> FixedClock:
    """The test's clock."""
    return FixedClock()


@dataclass
class Feed:
    """Stores events in an organization, as a batch each call."""

    database: Database
    clock: FixedClock
    organization: str = DEFAULT

    async def __call__(self, *lines: bytes) -> IngestResult:
        found = await find_organization(self.database, self.organization)
        events = decode_lines(lines, now=self.clock.now)
        return await GroupCommitIngestor(self.database).accept(
            found.organization_id, events, self.clock.now
        )


@pytest.fixture
def feed(database: Database, clock: FixedClock) -> Feed:
    """Stores a batch in the default organization."""
    return Feed(database, clock)


MakeKey = Callable[..., Awaitable[str]]


async def mint(
    database: Database,
    clock: FixedClock,
    username: str,
    *scopes: Scope,
    organization: str = DEFAULT,
    expires_at: datetime | None = None,
) -> str:
    """A new key, for reading reports unless told otherwise."""
    found = await find_organization(database, organization)
    minted = await create_key(
        database,
        found.organization_id,
        username=username,
        scopes=scopes or (Scope.REPORT_READ,),
        label="test",
        expires_at=expires_at,
        now=clock.now,
    )
    return str(minted.text)


@pytest.fixture
def make_key(database: Database, clock: FixedClock) -> MakeKey:
    """Mints a key: `await make_key("ann", Scope.ADMIN, organization="default")`."""
    return partial(mint, database, clock)


@pytest.fixture
async def other_organization(database: Database, clock: FixedClock) -> str:
    """A second organization, named `other`."""
    await create_organization(database, "other", clock.now)
    return "other"


@pytest.fixture
async def admin_key(feed: Feed, make_key: MakeKey) -> str:
    """A key with every scope, of a listed admin: no event is stored for it."""
    return await make_key("root", Scope.ADMIN)


@pytest.fixture
async def client(database: Database, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """The application, in which `root` is a listed admin."""
    settings = Settings.load(admin_user_list="root")
    async with client_of(database, settings, clock) as client:
        yield client


def client_of(database: Database, settings: Settings, clock: FixedClock) -> httpx.AsyncClient:
    """An HTTP client of an application with these settings."""
    transport = _Transport(create_app(settings, database, clock))
    return httpx.AsyncClient(transport=transport, base_url="http://chargeback.test")


class _Transport(httpx.ASGITransport):
    """Closing it stops the application as a server would: nothing is left unwritten."""

    def __init__(self, application: Starlette) -> None:
        super().__init__(application, raise_app_exceptions=False)
        self._application = application

    async def aclose(self) -> None:
        await self._application.state.services.audit.close()


@dataclass
class GraphQL:
    """Asks a query with the admin's key, or another."""

    client: httpx.AsyncClient
    key: str

    async def response(
        self, query: str, variables: dict[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """The whole answer, errors included."""
        answer = await self.client.post(
            "/graphql",
            json={"query": query, "variables": variables or {}},
            headers={"Authorization": key or self.key},
        )
        found: dict[str, Any] = answer.json()
        return found

    async def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        answer = await self.response(query, variables)
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]
        return found


@pytest.fixture
def graphql(client: httpx.AsyncClient, admin_key: str) -> GraphQL:
    """Asks GraphQL queries."""
    return GraphQL(client, admin_key)


@dataclass
class Rest:
    """Asks for the REST document with the admin's key, or another."""

    client: httpx.AsyncClient
    key: str

    async def response(self, key: str | None = None, **parameters: str) -> httpx.Response:
        """The whole answer."""
        return await self.client.get(
            "/api/admin/chargeback/report",
            params=parameters,
            headers={"Authorization": key or self.key},
        )

    async def __call__(self, month: str | None = None) -> dict[str, Any]:
        """The document of a month, or of the current one."""
        answer = await self.response(**({"reportMonth": month} if month else {}))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def rest(client: httpx.AsyncClient, admin_key: str) -> Rest:
    """Asks for REST documents."""
    return Rest(client, admin_key)


@dataclass
class Statements:
    """The statements that the store was sent, less those that open and close a snapshot."""

    texts: list[str] = field(default_factory=list)

    @property
    def of_months(self) -> list[str]:
        """Those that read the rows of a report."""
        return [text for text in self.texts if "_month" in text or "FROM organization" in text]


@contextmanager
def recorded(database: Database) -> Iterator[Statements]:
    """The statements sent within a block."""
    statements = Statements()

    def note(_: object, __: object, text: str, *___: object) -> None:
        statements.texts.append(text)

    def note_read(text: str, _: object) -> None:
        statements.texts.append(text)

    engine = database.engine.sync_engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    database.observers.append(note_read)
    try:
        yield statements
    finally:
        database.observers.remove(note_read)
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)


CONTRACT = Path(__file__).parent / "contract"
