"""The document is streamed: memory stays constant, and no connection leaks."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import AsyncAdaptedQueuePool

from app.db.engine import Database
from app.domain.callers import Scope
from app.main import create_app
from app.services.file_import import import_lines
from app.services.organizations import create_organization, find_organization
from app.settings import Settings
from tests.conftest import ClonedDatabase, FixedClock, create_api_key, event

CHUNK = 20_000


def organization(size: float) -> list[bytes]:
    """Events of 500 workspaces, 5,000 members, 5,000 projects and 5,000 users, `size` times.

    With a `size` of 1 or more, each long list takes more than two chunks of 2,000 rows.
    """
    time = "2026-10-01T00:00:00Z"
    lines = [
        event("user.upserted", time, username=f"user-{number:06}", email=f"{number}@x.test")
        for number in range(int(5_000 * size))
    ]
    for number in range(int(500 * size)):
        name = f"workspace-{number:05}"
        for each in range(10):
            username = f"user-{number + each:06}"
            lines += [
                event("member.added", time, workspace=name, username=username),
                event("project.upserted", time, workspace=name, name=f"project-{each}"),
            ]
    return lines


@dataclass
class AsgiClient:
    """Calls the application as a server does, and discards the response body."""

    app: Any
    key: str
    encoding: str = "identity"
    sent: int = 0
    chunks: int = 0
    largest_chunk: int = 0
    status: int = 0
    hang_up_after: int | None = None

    async def __call__(self, query: str) -> "AsgiClient":
        self._gone = asyncio.Event()
        self._asked = False
        headers = {
            "host": "chargeback.test",
            "authorization": self.key,
            "accept-encoding": self.encoding,
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/admin/chargeback/report",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self.app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        size = len(message.get("body", b""))
        self.sent, self.chunks = self.sent + size, self.chunks + 1
        self.largest_chunk = max(self.largest_chunk, size)
        if self.chunks == self.hang_up_after:
            self._gone.set()
        await asyncio.sleep(0)


@dataclass
class Store:
    """A store with one organization of each size, and a key for all."""

    url: str
    database: Database
    settings: Settings
    app: Any
    key: str


@pytest.fixture(scope="module")
async def store(postgres: str, template: str) -> AsyncIterator[Store]:
    clock = FixedClock()
    clone = ClonedDatabase(postgres, template)
    async with clone as database:
        for name, size in (("tiny", 0.01), ("small", 1), ("large", 2)):
            await create_organization(database, name, clock.now)
            organization_id = (await find_organization(database, name)).organization_id
            lines = organization(size)
            chunks = (lines[at : at + CHUNK] for at in range(0, len(lines), CHUNK))
            await import_lines(database, organization_id, chunks, clock.now)
        key = await create_api_key(database, clock, "root", Scope.ADMIN)
        settings = Settings.load(admin_user_list="root")
        app = create_app(settings, database, clock)
        yield Store(clone.url, database, settings, app, key)


async def peak_bytes(store: Store, name: str, encoding: str) -> tuple[int, AsgiClient]:
    """Return the peak of additional memory while the document is sent."""
    query = f"reportMonth=2026-10&organization={name}"
    await AsgiClient(store.app, store.key, encoding)(query)  # Warm up the statement cache.
    gc.collect()
    tracemalloc.start()
    asked = await AsgiClient(store.app, store.key, encoding)(query)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert asked.status == 200
    return peak, asked


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_memory_does_not_grow_with_the_organization(store: Store, encoding: str) -> None:
    small_peak, small = await peak_bytes(store, "small", encoding)
    large_peak, large = await peak_bytes(store, "large", encoding)

    # The document is twice as large, in chunks of the same size.
    assert large.sent > 1.9 * small.sent
    assert large.largest_chunk < 1.1 * small.largest_chunk
    assert large_peak < 1.2 * small_peak


async def test_each_list_takes_one_statement_at_any_length(store: Store) -> None:
    statements: list[str] = []

    def note(text: str, _: object) -> None:
        statements.append(text)

    store.database.read_observers.append(note)
    counts = []
    for name in ("small", "large"):
        statements.clear()
        await AsgiClient(store.app, store.key)(f"reportMonth=2026-10&organization={name}")
        counts.append(len(statements))
    store.database.read_observers.remove(note)

    # Key, report header, workspaces, members, projects, users.
    assert counts == [6, 6]


async def test_a_single_connection_produces_the_same_document(store: Store) -> None:
    """Behind a pooler or on Citus, no other connection can join the snapshot."""
    query = "reportMonth=2026-10&organization=small"
    expected = await AsgiClient(store.app, store.key)(query)
    alone = Database(store.url, pool_size=1, shared_snapshots=False, prepared_statements=False)

    found = await AsgiClient(create_app(store.settings, alone, FixedClock()), store.key)(query)

    await alone.close()
    assert (found.status, found.sent) == (200, expected.sent)


async def test_a_disconnected_client_leaks_no_connection(store: Store) -> None:
    for _ in range(20):  # More often than there are connections.
        asked = AsgiClient(store.app, store.key, hang_up_after=2)
        await asyncio.wait_for(asked("reportMonth=2026-10&organization=large"), 20)
        assert asked.sent > 0
    pool = store.database.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    for _ in range(1_000):  # The last connection may still be returning to the pool.
        if pool.checkedout():
            await asyncio.sleep(0.01)
    assert pool.checkedout() == 0


async def test_more_slow_clients_than_connections_are_all_served(store: Store) -> None:
    # Of a tiny organization: those who wait for a connection do so for at most some seconds.
    query = "reportMonth=2026-10&organization=tiny"
    alone = await AsgiClient(store.app, store.key)(query)

    together = await asyncio.gather(*(AsgiClient(store.app, store.key)(query) for _ in range(12)))

    assert {(asked.status, asked.sent) for asked in together} == {(200, alone.sent)}
