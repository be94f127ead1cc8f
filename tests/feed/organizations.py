"""An organization of a test's own, in a store that the tests of a module share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import Base
from app.domain.errors import EventProblem, InvalidBatch
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.services.file_import import import_lines
from app.services.organizations import create_organization, find_organization
from tests.conftest import NOW, event

_TABLES_WITHOUT_EVENT_DATA = {
    "organization",
    "api_key",
    "session",
    "audit_log",
    "feed_day",
    "feed_source",
}
TABLES = [
    table.name
    for table in Base.metadata.sorted_tables
    if "organization_id" in table.c and table.name not in _TABLES_WITHOUT_EVENT_DATA
]
"""The tables that events fill, without those that count batches."""

_numbers = count(1)


@dataclass(frozen=True)
class Organization:
    """A test's own organization in the store that all tests here share."""

    database: Database
    id: UUID
    name: str

    async def accept(self, *lines: bytes, chunk: int = CHUNK_SIZE) -> IngestResult:
        """Store lines in one transaction, `chunk` of them at a time."""
        return await import_lines(self.database, self.id, _chunks(lines, chunk), NOW)

    async def reject(self, *lines: bytes, chunk: int = CHUNK_SIZE) -> tuple[EventProblem, ...]:
        """Return the problems of an invalid batch, and check that nothing was stored."""
        before = await self.rows()
        with pytest.raises(InvalidBatch) as caught:
            await self.accept(*lines, chunk=chunk)
        assert await self.rows() == before
        return caught.value.problems

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return its rows of all tables, without its id and times of arrival."""
        found = {}
        async with self.database.owner_transaction() as tx:
            for table in [*TABLES, "organization"]:
                stored = Base.metadata.tables[table].c
                columns = [
                    column
                    for column in stored
                    if (table, column.name) not in _ARRIVAL_COLUMNS
                    and column.name != "organization_id"
                ]
                rows = await tx.execute(select(*columns).where(stored.organization_id == self.id))
                found[table] = sorted(map(tuple, rows), key=repr)
        return found

    async def is_empty(self) -> bool:
        """Return whether no event is stored in any table."""
        rows = await self.rows()
        return not any(rows[table] for table in TABLES)


_ARRIVAL_COLUMNS = {
    ("event", "received_at"),
    ("organization", "name"),
    # It counts batches.
    ("organization", "revision"),
}


def _chunks(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


async def new_organization(store: Database) -> Organization:
    name = f"import-{next(_numbers)}"
    await create_organization(store, name, NOW)
    found = await find_organization(store, name)
    return Organization(store, found.organization_id, name)


AT = "2024-03-10T00:00:00Z"
PLACE = {"workspace": "lab", "project": "p", "username": "ann"}


def upserted(**data: Any) -> bytes:
    """Return the upsert of user ann."""
    return event("user.upserted", AT, **{"username": "ann", "email": "ann@x.org", **data})


def used(**data: Any) -> bytes:
    """Return a use of the UI by ann."""
    return event("usage.recorded", AT, **{"username": "ann", "channel": "ui", **data})


def altered(line: bytes, **fields: object) -> bytes:
    """Return the event with other attributes; `...` removes one."""
    changed = orjson.loads(line) | fields
    return orjson.dumps({key: value for key, value in changed.items() if value is not ...})


ONE_OF_EACH = (
    upserted(),
    event("workspace.upserted", AT, name="lab"),
    event("member.added", AT, workspace="lab", username="ann"),
    event("project.upserted", AT, workspace="lab", name="p"),
    event("experiment.created", AT, experiment="x", **PLACE, sizeBytes=7),
    event("experiment.resized", AT, experiment="x", sizeBytes=9),
    used(count=3),
    event("experiment.deleted", AT, experiment="gone"),
    event("project.deleted", AT, workspace="lab", name="gone"),
    event("member.removed", AT, workspace="lab", username="gone"),
    event("workspace.deleted", AT, name="gone"),
    event("user.deleted", AT, username="gone"),
)
