"""Stores that tests open by URL; no connection to them is open."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.event_decoding import decode_lines
from app.domain.months import Month
from app.services.group_commit import GroupCommitIngestor
from app.services.organizations import find_organization
from tests.conftest import NOW, ClonedDatabase, event

MakeStore = Callable[..., Awaitable[str]]
_names = itertools.count(1)


@pytest.fixture
async def make_store(postgres: str, template: str) -> AsyncIterator[MakeStore]:
    """A function that creates a store with these events and returns its URL."""
    stores = []

    async def make(*lines: bytes) -> str:
        store = ClonedDatabase(postgres, template)
        database = await store.__aenter__()
        stores.append(store)
        if lines:
            found = await find_organization(database, DEFAULT_ORGANIZATION)
            await GroupCommitIngestor(database).submit(
                found.organization_id, decode_lines(lines, now=NOW), NOW
            )
        await database.close()
        return store.url

    yield make
    for store in stores:
        await store.__aexit__()


def create_events() -> list[bytes]:
    number = next(_names)
    at = "2026-08-10T00:00:00Z"
    ann = f"ann-{number}"
    return [
        event("user.upserted", at, username=ann, email="ann@x.example"),
        event("member.added", at, workspace="w", username=ann),
        event(
            "experiment.created",
            at,
            experiment=f"e-{number}",
            workspace="w",
            project="p",
            username=ann,
            sizeBytes=5_000_000,
        ),
        event("usage.recorded", "2026-10-03T00:00:00Z", username=ann, channel="ui", count=3),
    ]


async def execute(url: str, command: str) -> None:
    """Execute a command as the owner of the tables."""
    connection = await asyncpg.connect(url)
    await connection.execute(command)
    await connection.close()


def ignore_month(_: str, __: Month) -> None:
    """An `on_month` callback that does nothing."""
